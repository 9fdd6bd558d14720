void memtrack_spawn_placeholder(void);
