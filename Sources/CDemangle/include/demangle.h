void memtrack_demangle_placeholder(void);
