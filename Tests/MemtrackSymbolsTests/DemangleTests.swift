// SPDX-License-Identifier: Apache-2.0

import MemtrackSymbols
import Testing

@Suite struct DemangleTests {
    @Test(arguments: [
        ("_Z3fooi", "foo(int)"), ("_Z3fooi.constprop.0", "foo(int) [clone .constprop.0]"),
        ("_Z3fooi.cold", "foo(int) [clone .cold]"),
        ("_Z3fooi.isra.0.part.3", "foo(int) [clone .isra.0] [clone .part.3]"),
        (
            "_ZN4shop5OrderC4ENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
            "shop::Order::Order(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >)"
        ),
        ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
        (
            "_ZN60_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..Drop$GT$4drop17h0123456789abcdefE",
            "<alloc::vec::Vec<T> as core::ops::Drop>::drop"
        ),
        ("_RNvC5crate3foo", "crate::foo"),
        ("_RINvNtC3std3mem8align_ofjE", "std::mem::align_of::<usize>"),
        ("_D8demangle4testFiZv", "demangle.test(int)"),
        ("$s4main4fill_5countyAA5CrateC_SitF", "main.fill(_: main.Crate, count: Swift.Int) -> ()"),
        ("$S4main3fooyyF", "main.foo() -> ()"), ("_T04main3fooyyF", "main.foo() -> ()"),
    ])
    func readable(mangled: String, expected: String) {
        #expect(demangle(mangled) == expected)
    }

    @Test(arguments: [
        "", "main", "malloc", "f", "i", "_", "_start", "_Z", "_R", "_D", "_DYNAMIC", "_Dmain_not", "$s",
        "_T0",
        "foo.constprop.0", "_Zdrop", "$sää", "_Z3foo\u{0}i", "@__swiftmacro_", "__libc_start_main",
    ])
    func leavesOtherNamesAlone(name: String) {
        #expect(demangle(name) == name)
    }

    /// Each substitution doubles the output: this one would be terabytes.
    @Test func boundsTheOutput() {
        var name = "_Z1fSt4pairIiiE"
        for index in 0..<30 {
            let last = "S" + String(index, radix: 36).uppercased() + "_"
            name += "S_I\(last)\(last)E"
            if index == 2 { #expect(demangle(name).count > 200) }
        }
        #expect(demangle(name) == name)
    }

    /// Every way to nest, to the greatest length that is tried at all.
    @Test(arguments: [
        "_Z1f" + "P", "_Z1f" + "F", "_Z1f" + "N", "_Z1f" + "I", "_RN" + "R", "_RI" + "T", "_RN" + "N",
        "_D1a" + "F", "_D1a" + "A", "$s4main" + "S", "$s" + "y", "$s4main1aV" + "G",
    ])
    func survivesDeepNesting(start: String) {
        let unit = String(start.suffix(1))
        for length in [100, 1_000, 4_000, 8_100, 100_000] {
            let name = start + String(repeating: unit, count: length)
            #expect(!demangle(name).isEmpty)
        }
    }

    @Test func survivesRandomNames() {
        var generator = SplitMix(state: 7)
        let letters = Array("_ZRDSTNIEKPFiv0123456789sytXLCABHgGWwmo$.xQu")
        for prefix in ["_Z", "_R", "_D", "$s", "_T0", "_ZN"] {
            for _ in 0..<3_000 {
                let length = Int.random(in: 0..<40, using: &generator)
                let rest = (0..<length).map { _ in
                    letters.randomElement(using: &generator).map(String.init) ?? ""
                }
                #expect(!demangle(prefix + rest.joined()).isEmpty)
            }
        }
    }
}
