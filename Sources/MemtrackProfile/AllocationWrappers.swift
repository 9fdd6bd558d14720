// SPDX-License-Identifier: Apache-2.0

/// Functions that allocate on behalf of their caller. A call site is the first frame, innermost first,
/// that is not one of them. This file is data: add a name to its group, and a stack to the tests.
///
/// Names are compared without return type, template arguments and parameters (`FunctionName.qualified`).
public enum AllocationWrappers {
    struct Group: Sendable {
        var origin: String
        var names: [String] = []
        var prefixes: [String] = []
        /// Names that a prefix of the group covers and that are sites all the same.
        var exceptPrefixes: [String] = []
    }

    /// Outermost frames of every program: true, and of no use on a screen.
    static let startup: Set<String> = [
        "_start", "__libc_start_main", "__libc_start_main_impl", "__libc_start_call_main", "start_thread",
        "clone", "clone3", "__clone", "__clone3", "execute_native_thread_routine", "_dl_start_user",
        "_dl_relocate_static_pie",
    ]

    static let groups: [Group] = [
        Group(
            origin: "the C library",
            names: [
                "malloc", "calloc", "realloc", "reallocarray", "memalign", "posix_memalign", "aligned_alloc",
                "valloc", "pvalloc", "__libc_malloc", "__libc_calloc", "__libc_realloc", "__libc_memalign",
                "strdup", "__strdup", "strndup", "__strndup", "wcsdup", "asprintf", "__asprintf", "vasprintf",
                "__vasprintf_internal", "__asprintf_chk", "__vasprintf_chk", "getline", "getdelim",
                "__getdelim", "realpath", "__realpath_chk", "canonicalize_file_name",
                "getcwd", "get_current_dir_name", "fopen", "fopen64", "fdopen", "freopen", "open_memstream",
                "__fopen_internal", "opendir", "fdopendir", "__alloc_dir", "__opendir", "scandir",
                "setlocale",
                "newlocale", "qsort", "qsort_r", "getaddrinfo", "regcomp", "tsearch", "hcreate_r",
                "_dl_allocate_tls", "allocate_dtv", "_dl_new_object",
            ],
            prefixes: ["_IO_", "__GI__IO_"]),
        Group(
            origin: "common C idioms: gnulib, GCC, git, binutils",
            names: [
                "xmalloc", "xcalloc", "xrealloc", "xzalloc", "xnmalloc", "xnrealloc", "x2realloc",
                "x2nrealloc",
                "xreallocarray", "xstrdup", "xstrndup", "xmemdup", "xmemdupz", "xcharalloc", "ximalloc",
                "xizalloc", "xicalloc", "xirealloc", "ximemdup", "xmemdup0", "xasprintf", "xvasprintf",
                "xpalloc", "rpl_malloc", "rpl_calloc", "rpl_realloc",
                "do_xmalloc", "xmallocz", "xmallocz_gently", "do_xmallocz", "xstrfmt", "xstrvfmt",
                "strbuf_grow", "strbuf_init", "strbuf_add", "strbuf_addch", "strbuf_addf", "strbuf_vaddf",
                "strbuf_addstr", "strbuf_detach", "mem_pool_alloc", "mem_pool_calloc", "mem_pool_strdup",
                "mem_pool_alloc_block", "zmalloc", "zcalloc", "zrealloc", "ztrymalloc",
                "ztrycalloc", "ztryrealloc", "zmalloc_usable", "zcalloc_usable", "ztrymalloc_usable",
                "ztrymalloc_usable_internal", "zstrdup", "emalloc", "ecalloc", "erealloc", "safe_malloc",
                "safe_calloc", "safe_realloc", "sh_xmalloc", "sh_xrealloc", "ggc_internal_alloc",
                "ggc_internal_cleared_alloc", "ggc_alloc_atomic", "ggc_realloc",
                "_obstack_begin", "_obstack_begin_1", "_obstack_begin_worker", "_obstack_newchunk",
                "_obstack_allocated_p", "av_malloc", "av_mallocz", "av_calloc", "av_realloc", "av_strdup",
                "jv_mem_alloc", "jv_mem_calloc", "jv_mem_realloc", "jv_mem_alloc_unguarded", "CRYPTO_malloc",
                "CRYPTO_zalloc", "CRYPTO_realloc", "CRYPTO_clear_realloc", "CRYPTO_strdup", "OPENSSL_malloc",
            ],
            prefixes: ["obstack_"]),
        Group(
            origin: "GLib",
            names: [
                "g_new", "g_new0", "g_renew", "g_strdup", "g_strndup", "g_strdup_printf", "g_strdup_vprintf",
                "g_strconcat", "g_strjoin", "g_strjoinv", "g_strsplit", "g_strdupv", "g_memdup", "g_memdup2",
                "g_vasprintf", "g_realloc", "g_realloc_n", "g_try_realloc", "g_aligned_alloc",
                "g_aligned_alloc0", "g_array_maybe_expand", "g_ptr_array_maybe_expand",
                "g_string_maybe_expand",
                "g_type_create_instance", "g_object_new_internal", "standard_malloc",
            ],
            prefixes: ["g_malloc", "g_try_malloc", "g_slice_", "g_rc_box_", "g_atomic_rc_box_"]),
        Group(
            origin: "C++: operator new and the standard library",
            names: [
                "operator new", "operator new[]", "__cxa_allocate_exception", "__cxa_vec_new",
                "__cxa_vec_new2",
                "__cxa_vec_new3", "boost::make_shared", "boost::allocate_shared",
            ],
            // The whole library: a container's growth belongs to the function that uses the container.
            prefixes: [
                "std::", "__gnu_cxx::", "__gnu_debug::", "__gnu_parallel::", "__gnu_pbds::", "__cxxabiv1::",
                "boost::container::", "boost::detail::sp_", "boost::detail::shared_count",
                "folly::fbvector", "absl::container_internal::", "absl::lts_",
            ],
            // These run the user's callable, which may have been inlined into them; they name it in their
            // template arguments.
            exceptPrefixes: [
                "std::thread::_State_impl::_M_run", "std::thread::_Invoker", "std::__invoke",
                "std::__1::__invoke", "std::__1::__thread_proxy", "std::_Function_handler::_M_invoke",
                "std::__1::__function::__func::operator()", "std::__future_base::_Task_setter",
                "std::__future_base::_Async_state_impl::_M_run", "absl::lts_20220623::flags_internal",
                // Rust's std shares the prefix: what does I/O or runs code there is a site.
                "std::rt::", "std::io::", "std::fs::", "std::env::", "std::net::", "std::process::",
                "std::sys::", "std::sys_common::", "std::thread::spawn", "std::thread::Builder",
                "std::backtrace", "std::panic",
            ]),
        Group(
            origin: "Rust",
            names: [
                "__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc", "__rdl_alloc", "__rdl_alloc_zeroed",
                "__rdl_realloc", "__rg_alloc", "__rg_alloc_zeroed", "__rg_realloc",
                "core::clone::Clone::clone",
                "core::alloc::global::GlobalAlloc::alloc", "core::iter::traits::iterator::Iterator::collect",
                "core::iter::traits::collect::FromIterator::from_iter",
                "core::iter::traits::collect::IntoIterator::into_iter",
                "core::ops::function::FnOnce::call_once",
            ],
            prefixes: [
                "alloc::", "__rustc::__rust_", "__rustc::__rdl_", "__rustc::__rg_", "hashbrown::",
                "core::ops::function::impls", "core::iter::adapters::", "core::iter::traits::",
                "core::convert::", "core::result::Result::", "core::option::Option::", "smallvec::",
            ]),
        Group(
            origin: "Swift",
            names: [
                "swift_allocObject", "_swift_allocObject_", "swift_slowAlloc", "swift_slowAllocTyped",
                "swift_allocBox", "swift_allocEmptyBox", "swift_bufferAllocate", "swift_allocError",
                "swift_initStackObject", "swift_initStaticObject", "swift_unknownObjectRetain",
                "swift_task_alloc", "swift_asyncLet_alloc", "swift_getGenericMetadata",
            ],
            prefixes: ["Swift.", "swift::TaskAllocator", "swift::runtime::", "swift::StackAllocator"]),
        Group(
            origin: "CPython",
            names: [
                "PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "_PyObject_Malloc",
                "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_New", "_PyObject_NewVar",
                "_PyObject_GC_New", "_PyObject_GC_NewVar", "_PyObject_GC_Malloc", "_PyObject_GC_Calloc",
                "_PyObject_GC_Resize", "_PyObject_GC_Alloc", "_PyObject_MallocWithType",
                "PyObject_GC_New", "PyType_GenericAlloc", "_PyType_AllocNoTrack",
                "PyType_GenericNew", "_PyObject_Arena_Alloc", "_PyObject_ArenaMmap", "_PyObject_ArenaMalloc",
                "new_arena", "allocate_from_new_pool", "pymalloc_alloc", "pymalloc_realloc", "gc_alloc",
                "_PyBytes_FromSize", "PyBytes_FromStringAndSize", "PyUnicode_New", "_PyUnicode_New",
            ],
            prefixes: ["PyMem_", "_PyMem_", "memtrack_python_"]),
        Group(
            origin: "SQLite",
            names: [
                "sqlite3MemMalloc", "sqlite3MemRealloc", "sqlite3Malloc", "sqlite3MallocZero",
                "sqlite3Realloc", "mallocWithAlarm", "sqlite3_malloc", "sqlite3_malloc64", "sqlite3_realloc",
                "sqlite3_realloc64", "dbMallocRawFinish", "dbReallocFinish", "sqlite3PageMalloc",
                "pcache1Alloc", "pcache1AllocPage", "sqlite3StrDup", "sqlite3VdbeMemGrow",
                "sqlite3VdbeMemClearAndResize", "sqlite3ArrayAllocate", "growOp3", "growOpArray",
                "sqlite3_mprintf", "sqlite3_vmprintf", "sqlite3MPrintf", "sqlite3VMPrintf",
                "sqlite3_str_append", "sqlite3StrAccumEnlarge", "sqlite3_str_vappendf",
            ],
            prefixes: ["sqlite3Db"]),
        Group(
            origin: "Perl",
            names: [
                "Perl_safesysmalloc", "Perl_safesyscalloc", "Perl_safesysrealloc", "Perl_malloc",
                "Perl_calloc", "Perl_realloc", "Perl_more_bodies", "Perl_more_sv", "S_more_sv", "S_new_body",
                "Perl_new_sv", "Perl_newSV", "Perl_sv_grow", "Perl_sv_grow_fresh", "Perl_savepv",
                "Perl_savepvn", "Perl_savesharedpv", "Perl_Slab_Alloc", "S_new_slab", "Perl_av_extend",
                "Perl_av_extend_guts",
            ]),
        Group(
            origin: "other interpreters",
            names: [
                "luaM_malloc_", "luaM_realloc_", "luaM_growaux_", "luaM_saferealloc_", "l_alloc",
                "luaC_newobj", "ruby_xmalloc", "ruby_xmalloc2", "ruby_xcalloc", "ruby_xrealloc",
                "ruby_xrealloc2", "objspace_xmalloc0", "objspace_xrealloc", "objspace_xcalloc",
                "heap_page_allocate",
                "rb_xmalloc_mul_add", "_emalloc", "_ecalloc", "_erealloc", "_estrdup", "_safe_emalloc",
                "_safe_erealloc", "_emalloc_huge", "zend_mm_alloc_huge", "zend_mm_chunk_alloc", "os::malloc",
                "os::realloc", "AllocateHeap", "ReallocateHeap", "Arena::grow", "Arena::Amalloc",
                "v8::internal::Malloced::operator new", "v8::internal::AllocWithRetry",
                "node::UncheckedMalloc", "node::UncheckedRealloc", "node::Malloc", "node::Realloc",
            ]),
    ]
}
