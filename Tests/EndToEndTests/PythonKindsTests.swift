// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Objects of some fifty kinds, counted against how many were made between two looks: those of classes with slots, with
/// a base among the built-in types or of a metaclass of their own, of C's types with and without the garbage
/// collector, and types themselves.
@Suite struct PythonKindsTests {
    private static let script = """
        import array, collections, ctypes, dataclasses, datetime, decimal, enum, fractions, functools, gc, io, itertools
        import json, os, struct, threading, time, types, weakref, xml.etree.ElementTree
        class Slotted:
            __slots__ = ("a", "__weakref__")
        class Plain:
            def __init__(self, i): self.i, self.j = i, [i]
        class SubInt(int): pass
        class SubStr(str): pass
        class SubDict(dict): pass
        class SubList(list): pass
        class SubTuple(tuple): pass
        class Meta(type): pass
        class Problem(Exception): pass
        @dataclasses.dataclass
        class Data:
            a: int
            b: str
        class CStruct(ctypes.Structure):
            _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_double)]
        Named = collections.namedtuple("Named", "x y")
        def generator():
            yield 1
        async def coroutine(): pass
        anchors = [Slotted() for _ in range(300)]
        ways = [
            lambda i: Slotted(), Plain, lambda i: SubInt(i + 10**9), lambda i: SubStr(i), lambda i: SubDict(a=i),
            lambda i: SubList([i]), lambda i: SubTuple((i, i)), lambda i: Meta("M%d" % i, (), {}), lambda i: Problem(i),
            lambda i: Data(i, "s"), lambda i: CStruct(), lambda i: Named(i, i), lambda i: array.array("d", [i]),
            lambda i: collections.deque([i]), lambda i: collections.defaultdict(list),
            lambda i: collections.OrderedDict(a=i), lambda i: collections.Counter("abc"),
            lambda i: collections.ChainMap(), lambda i: memoryview(bytes(9)), lambda i: decimal.Decimal(i),
            lambda i: fractions.Fraction(i, 7), lambda i: datetime.datetime(2000, 1, 1, i % 24),
            lambda i: datetime.time(i % 24), lambda i: datetime.time(i % 24, tzinfo=datetime.timezone.utc),
            lambda i: datetime.date(2000, 1, 1), lambda i: datetime.datetime.now(datetime.timezone.utc),
            lambda i: datetime.timedelta(i), lambda i: (x for x in ()), lambda i: functools.partial(print, i),
            lambda i: weakref.ref(anchors[i]), lambda i: types.SimpleNamespace(a=i), lambda i: iter([1]),
            lambda i: itertools.count(i), lambda i: complex(i, 1), lambda i: types.MethodType(print, i),
            lambda i: lambda: i, lambda i: slice(i), lambda i: range(i + 300), lambda i: staticmethod(print),
            lambda i: threading.Condition(), lambda i: enum.Enum("E%d" % i, "A B") if i < 20 else None,
            lambda i: coroutine(), lambda i: bytearray(50), lambda i: time.localtime(i), lambda i: os.stat("/"),
            lambda i: io.BytesIO(b"x"), lambda i: io.StringIO("a"), lambda i: struct.Struct("%dx" % i),
            lambda i: xml.etree.ElementTree.Element("a"), lambda i: types.MappingProxyType({}), lambda i: {}.keys(),
            lambda i: map(str, ()), lambda i: 2**70 + i, lambda i: OSError(2, "x"), lambda i: object(),
        ]
        def made():
            return [[way(i) for i in range(300)] for way in ways]
        def started():
            started = [generator() for _ in range(300)]
            for each in started: next(each)
            return started
        def figures(kinds):
            result = {}
            for object in (each for kind in kinds for each in kind if each is not None):
                name = type(object).__name__
                known = result.get(name, (0, 0))
                result[name] = (known[0] + 1, known[1] + gc.is_tracked(object))
            return result
        warm = made(); warm.append(started()); json.dumps(figures(warm)); del warm
        gc.collect(); gc.disable()
        print("ready", flush=True)
        os.read(0, 1)
        kinds = made(); kinds.append(started())
        print("made", flush=True)
        os.read(0, 1)
        print("truth", json.dumps(figures(kinds)), flush=True)
        """

    /// More of these come along: methods and weak references of classes, the queues of conditions.
    private static let common: Set = [
        "int", "function", "builtin_function_or_method", "staticmethod", "method", "deque", "weakref",
        "ReferenceType",
    ]

    @Test(arguments: Pythons.all) func countsAreThoseMade(_ python: String) throws {
        let (before, after, truth) = try Stepped.population(
            [python, "-W", "ignore", "-c", Self.script], ["MEMTRACK_OBJECTS": "1"])
        #expect(truth.count > 50)
        // A type that C defines is known by the name it has there: collections.deque, datetime.timedelta.
        func figures(_ answer: TypeAnswer, _ name: String) -> (count: Int, tracked: Int) {
            let kinds = answer.types.filter { $0.name == name || $0.name.hasSuffix("." + name) }
            return (kinds.map(\.count).reduce(0, +), kinds.map(\.trackedCount).reduce(0, +))
        }
        for (name, made) in truth.sorted(by: { $0.key < $1.key }) {
            let (old, new) = (figures(before, name), figures(after, name))
            let isCommon = Self.common.contains(name)
            let count = new.count - old.count
            #expect(count >= made[0] - made[0] / 100, "\(name): \(count) of \(made[0])")
            let tracked = new.tracked - old.tracked
            #expect(tracked >= made[1], "\(name), tracked: \(tracked) of \(made[1])")
            if !isCommon {
                #expect(count <= made[0] + 1, "\(name): \(count) of \(made[0])")
            }
        }
    }
}
