// SPDX-License-Identifier: Apache-2.0
import MemtrackProfile
import Testing

/// Stacks as they come from real programs, innermost first, and the function each belongs to.
private let realStacks: [(stack: [String], site: String)] = [
    // g++ 12, -O0 and -O2
    (
        [
            "operator new(unsigned long)",
            "std::__new_allocator<int>::allocate(unsigned long, void const*)",
            "std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, unsigned long)",
            "std::_Vector_base<int, std::allocator<int> >::_M_allocate(unsigned long)",
            "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int const&>(__gnu_cxx::"
                + "__normal_iterator<int*, std::vector<int, std::allocator<int> > >, int const&)",
            "std::vector<int, std::allocator<int> >::push_back(int const&)",
            "Parser::parse(std::vector<int, std::allocator<int> >&)", "main",
        ], "Parser::parse(std::vector<int, std::allocator<int> >&)"
    ),
    (
        [
            "operator new(unsigned long)", "__gnu_cxx::new_allocator<std::_Rb_tree_node<int> >::allocate",
            "std::_Rb_tree<int, std::pair<int const, int>, std::_Select1st<std::pair<int const, int> >, "
                + "std::less<int>, std::allocator<std::pair<int const, int> > >::_M_create_node<int>(int&&)",
            "std::map<int, int>::operator[](int&&)", "Index::add(int) const",
        ], "Index::add(int) const"
    ),
    (
        [
            "operator new(unsigned long)",
            "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_create("
                + "unsigned long&, unsigned long)",
            "void std::__cxx11::basic_string<char>::_M_construct<char const*>(char const*, char const*, "
                + "std::forward_iterator_tag)",
            "(anonymous namespace)::greet(char const*)",
        ], "(anonymous namespace)::greet(char const*)"
    ),
    (
        [
            "operator new(unsigned long)",
            "std::__shared_ptr<Foo, (__gnu_cxx::_Lock_policy)2>::__shared_ptr<std::allocator<void>>",
            "std::shared_ptr<Foo> std::make_shared<Foo, int>(int&&)",
            "build_all(int)::{lambda(int)#1}::"
                + "operator()(int) const", "main",
        ], "build_all(int)::{lambda(int)#1}::operator()(int) const"
    ),
    (
        [
            "operator new[](unsigned long)", "std::__detail::_MakeUniq<char []>::__array",
            "std::basic_ostream<char>& std::operator<< <char>(std::basic_ostream<char>&, char)",
            "Log::operator<<(int)",
        ], "Log::operator<<(int)"
    ),
    // a callable inlined into the thread's start
    (
        [
            "operator new(unsigned long)",
            "std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >::_M_run()",
            "execute_native_thread_routine", "start_thread", "clone3",
        ], "std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >::_M_run()"
    ),
    // libc++
    (
        [
            "operator new(unsigned long)", "std::__1::__libcpp_allocate[abi:v15007](unsigned long)",
            "std::__1::vector<Foo>::__append(unsigned long)", "load_foos",
        ], "load_foos"
    ),
    // CPython 3.11
    (
        [
            "_PyMem_RawMalloc", "PyObject_Malloc", "_PyObject_GC_NewVar", "PyType_GenericAlloc",
            "list_vectorcall", "_PyEval_EvalFrameDefault",
        ], "list_vectorcall"
    ),
    (["_PyMem_RawRealloc", "PyMem_Realloc", "list_resize.part.0", "list_append"], "list_resize.part.0"),
    // Rust, legacy and v0 names
    (
        [
            "__rust_alloc", "alloc::alloc::alloc",
            "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
            "alloc::raw_vec::RawVec<T,A>::allocate_in", "alloc::vec::Vec<T>::with_capacity",
            "<alloc::vec::Vec<T> as alloc::vec::spec_from_iter::SpecFromIter<T,I>>::from_iter",
            "<T as alloc::string::ToString>::to_string",
            "core::ops::function::impls::<impl core::ops::function::FnOnce<A> for &mut F>::call_once",
            "bot::parse::tokens", "std::rt::lang_start",
        ], "bot::parse::tokens"
    ),
    (
        ["__rustc::__rust_alloc", "<bot::Reader as core::iter::Iterator>::next"],
        "<bot::Reader as core::iter::Iterator>::next"
    ),
    // SQLite, Perl, git
    (
        [
            "sqlite3MemMalloc", "mallocWithAlarm", "sqlite3Malloc", "sqlite3DbMallocRawNN",
            "sqlite3ExprAlloc",
            "yy_reduce",
        ], "sqlite3ExprAlloc"
    ),
    (["Perl_safesysmalloc", "Perl_sv_grow", "Perl_sv_setpvn", "Perl_pp_concat"], "Perl_sv_setpvn"),
    (["do_xmalloc", "xmalloc", "strbuf_grow", "strbuf_add", "read_ref_at"], "read_ref_at"),
    (["realloc", "xrealloc.constprop.0", "add_index_entry"], "add_index_entry"),
    // C
    (["malloc", "_IO_file_doallocate", "_IO_doallocbuf", "fopen64", "read_config"], "read_config"),
    (["g_malloc0", "g_slice_alloc", "g_hash_table_new_full"], "g_hash_table_new_full"),
    // Swift
    (
        [
            "swift_slowAlloc", "swift_allocObject",
            "Swift._ContiguousArrayBuffer.init(_uninitializedCount: "
                + "Swift.Int) -> Swift._ContiguousArrayBuffer<A>",
            "generic specialization <Swift.Int> of Swift.Array.append(__owned A) -> ()",
            "Bot.Parser.parse(Swift.String) -> ()",
        ], "Bot.Parser.parse(Swift.String) -> ()"
    ),
]

@Suite struct WrapperTests {
    @Test(arguments: realStacks) func siteIsTheProgramsOwnFunction(stack: [String], site: String) {
        #expect(FakeProcess.site(stack) == site)
    }

    @Test func stackOfWrappersAloneIsBookedOnTheOutermost() {
        #expect(FakeProcess.site(["malloc", "operator new(unsigned long)", "xmalloc"]) == "xmalloc")
    }

    @Test func userPatternsAreAdded() throws {
        let stack = ["malloc", "arena_push(Arena*, unsigned long)", "tokenize"]
        #expect(FakeProcess.site(stack) == "arena_push(Arena*, unsigned long)")
        let wrappers = WrapperMatcher(userPatterns: [try TextPattern("^arena_", option: "--alloc-fn")])
        #expect(FakeProcess.site(stack, wrappers: wrappers) == "tokenize")
    }

    @Test func functionsThatOnlyLookLikeWrappersAreSites() {
        for name in ["stdout_open", "my::std::make()", "mallocator", "PyMember_Get", "Swiftly.run()"] {
            #expect(FakeProcess.site(["malloc", name, "main"]) == name)
        }
    }

    @Test func badPatternNamesOptionAndText() {
        #expect {
            try TextPattern("a(b", option: "--alloc-fn")
        } throws: { error in
            guard let error = error as? ProfileError else { return false }
            return error.description.hasPrefix("--alloc-fn: 'a(b' is not a regular expression: ")
        }
    }
}

@Suite struct FunctionNameTests {
    @Test(arguments: [
        ("malloc", "malloc"), ("malloc@plt", "malloc"), ("grow.part.0", "grow"), ("grow.cold", "grow"),
        ("operator new(unsigned long)", "operator new"), ("operator new[](unsigned long)", "operator new[]"),
        ("int* a::b<int (*)(char), (x)1>::c<2>(int) const", "a::b::c"),
        ("Foo::operator()(int) const", "Foo::operator()"), ("A::operator->() const", "A::operator->"),
        ("bool operator< <int>(A<int> const&, B)", "operator< <int>"),
        ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
        ("f(int)::{lambda(int)#1}::operator()(int) const", "f::{lambda(int)#1}::operator()"),
        ("f(int) const::g::h(char)", "f::g::h"), ("f[abi:cxx11](int)", "f"),
        ("<alloc::string::String as core::clone::Clone>::clone", "alloc::string::String::clone"),
        ("<T as alloc::slice::hack::ConvertVec>::to_vec", "alloc::slice::hack::ConvertVec::to_vec"),
        ("bot::run::{{closure}}", "bot::run::{{closure}}"),
        ("core.memory.GC.malloc", "core.memory.GC.malloc"),
        ("std::function<void ()>::operator()() const", "std::function::operator()"),
        ("clone(int) [clone .part.0]", "clone"), ("x->y", "x->y"),
        ("main.<locals>.<listcomp>", "main.<locals>.<listcomp>"), ("<module>", "<module>"),
    ]) func qualified(name: String, expected: String) {
        #expect(FunctionName.qualified(name) == expected)
    }

    @Test func anyTextGivesAResult() {
        let pieces = [
            "<", ">", "(", ")", "{", "}", "[", "]", "operator", " ", "::", "a", "->", "@", " as ", "&",
        ]
        var seed: UInt64 = 42
        for _ in 0..<20_000 {
            var name = ""
            for _ in 0..<8 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                name += pieces[Int(seed >> 60)]
            }
            #expect(FunctionName.qualified(name).utf8.count <= name.utf8.count)
            #expect(FunctionName.abridged(name, templates: true).utf8.count <= name.utf8.count * 3)
        }
        let deep = String(repeating: "<", count: 100_000) + "x" + String(repeating: ">", count: 100_000)
        #expect(FunctionName.qualified(deep).utf8.count <= 1)
        let open = String(repeating: "<(", count: 200_000)
        #expect(FunctionName.abridged(open, templates: true) == open)
    }

    @Test func abridged() {
        let name = "Map<int, Foo<char> >::insert(std::pair<int, Foo<char> >, bool) const"
        #expect(FunctionName.abridged(name, templates: false) == "Map<int, Foo<char> >::insert(…) const")
        #expect(FunctionName.abridged(name, templates: true) == "Map<…>::insert(…) const")
        #expect(
            FunctionName.abridged("std::vector<Token> Parser<X>::tokens(char, bool) const", templates: true)
                == "Parser<…>::tokens(…) const")
        #expect(
            FunctionName.abridged("void (anonymous namespace)::f<int>(int)", templates: true)
                == "(anonymous namespace)::f<…>(…)")
        #expect(FunctionName.abridged("operator new(unsigned long)", templates: true) == "operator new(…)")
        #expect(FunctionName.abridged("LazyCompile:~f /a b.js", templates: true) == "LazyCompile:~f /a b.js")
        #expect(FunctionName.unqualified("void a::b<int>::c(int)", parts: 2) == "b::c")
        #expect(FunctionName.unqualified("main", parts: 2) == nil)
        #expect(FunctionName.unqualified("closure #1 () -> () in Foo.run()", parts: 1) == nil)
        #expect(FunctionName.abridged("A::operator()(int)", templates: true) == "A::operator()(…)")
        #expect(FunctionName.abridged("f()", templates: true) == "f()")
        #expect(FunctionName.abridged("f.<locals>.g", templates: true) == "f.<locals>.g")
    }
}
