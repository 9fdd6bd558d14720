// SPDX-License-Identifier: Apache-2.0
// A known population of Swift objects: what `memtrack objects` must find in it. Prints "ready" and waits for its input
// to end.
import Glibc

class Account {
    var number = 1
    var owner = "nobody in particular, by any name"
}

final class Box<Value> {
    var value: Value
    init(_ value: Value) { self.value = value }
}

enum Outer {
    final class Inner { var next: Inner? }
}

private final class Secret { var key = 0 }

indirect enum Tree<Value> {
    case leaf(Value)
    case fork(Tree, Tree)
}

// Not specialized: its boxes get their metadata at run time.
@_semantics("optimize.sil.specialize.generic.never") @inline(never)
func fork<Value>(_ value: Value) -> Tree<Value> { .fork(.leaf(value), .leaf(value)) }

class Derived<Key: Hashable>: Account { var table: [Key: Int] = [:] }

var accounts: [Account] = []
for _ in 0..<500 { accounts.append(Account()) }
let numbers = (0..<300).map { Box($0) }
let texts = (0..<120).map { Box(String($0)) }
let pairs = (0..<40).map { Box((Optional($0), [Double($0)])) }
protocol Shape {}
let metatypes = (0..<25).map { _ in Box<Any.Type>(Int.self) }
let shapes = (0..<30).map { _ in Box<(any Shape.Type)?>(nil) }
let protocols = (0..<12).map { _ in Box<(any Shape).Type>((any Shape).self) }
final class Fixed<let size: Int, Value> { var value: Value? }
let fixed = ((0..<64).map { _ in Fixed<3, Int>() }, (0..<65).map { _ in Fixed<4, Int>() })
let inner = (0..<77).map { _ in Outer.Inner() }
private let secrets = (0..<33).map { _ in Secret() }
let derived = (0..<21).map { _ in Derived<String>() }
let trees = (0..<60).map { fork($0) }
let closures = (0..<10).map { place in { accounts[place].number } }

print("ready", closures[0]())
fflush(nil)
while readLine() != nil {}
withExtendedLifetime((accounts, numbers, texts, pairs, inner, secrets, derived, trees, closures)) {}
withExtendedLifetime((metatypes, shapes, protocols, fixed)) {}
