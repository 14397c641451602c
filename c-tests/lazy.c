/* lazy.c: emitters that attach lazily to librmon, in a program that is not linked with it: found in both orders, named
   by RMON_LIBRARY, not there at all, or something else. Each test runs in a child process, so that it begins without
   librmon; what it writes to standard error is looked at afterwards. */
#define _GNU_SOURCE
#include "lazy.h"
#include "waiting.h"

#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* What tools use, looked up at run time. */
static struct {
    int (*use_tool_id)(int, const char *);
    int (*free_tool_id)(int);
    int (*register_callback)(int, int, rmon_callback, void *, void (*)(void *));
    int (*set_events)(int, uint32_t);
    int (*attach)(uint32_t);
    int (*detach)(uint32_t);
} api;

static char librmon[PATH_MAX]; /* its file */
static void *librmon_handle;
static int events; /* that the tool has seen */

static void look_up(const char *name, void *function)
{
    void *symbol = dlsym(librmon_handle, name);
    CHECK(symbol != NULL);
    memcpy(function, &symbol, sizeof symbol);
}

/* Brings librmon into the process, as a host does that keeps its symbols to itself. */
static void load_librmon(void)
{
    librmon_handle = dlopen(librmon, RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(librmon_handle != NULL))
        _exit(1);
    look_up("rmon_use_tool_id", &api.use_tool_id);
    look_up("rmon_free_tool_id", &api.free_tool_id);
    look_up("rmon_register_callback", &api.register_callback);
    look_up("rmon_set_events", &api.set_events);
    look_up("rmon_attach", &api.attach);
    look_up("rmon_detach", &api.detach);
}

static int count_event(void *user_data, const rmon_event *event)
{
    (void)user_data, (void)event;
    events++;
    return RMON_CONTINUE;
}

static void listen_for_lines(void)
{
    CHECK_EQ(api.use_tool_id(3, "lines"), RMON_OK);
    CHECK_EQ(api.register_callback(3, RMON_EVENT_LINE, count_event, NULL, NULL), RMON_OK);
    CHECK_EQ(api.set_events(3, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
}

/* How many events reach the tool while the emitter fires three lines in each of its units and scopes. */
static int heard_of(const struct lazy_emitter *emitter)
{
    int before = events;
    CHECK_EQ(emitter->run(3), RMON_OK);
    CHECK_EQ(emitter->run_on_stack(3), RMON_OK);
    CHECK_EQ(emitter->second(3), RMON_OK);
    return events - before;
}

enum { ALL = 9 };

/* ---- Tests, each in a process of its own ---- */

static void emitters_find_the_library(void)
{
    const struct lazy_emitter *emitter;
    load_librmon();
    listen_for_lines();
    emitter = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), ALL);
}

static void the_library_finds_emitters(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), 0);
    load_librmon();
    CHECK_EQ(heard_of(emitter), 0);
    listen_for_lines();
    CHECK_EQ(heard_of(emitter), ALL);
}

static void the_library_finds_emitters_that_have_not_begun(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    load_librmon();
    listen_for_lines();
    CHECK(emitter->slot->table != NULL);
    CHECK_EQ(heard_of(emitter), ALL);
}

static void nothing_happens_without_the_library(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    int answers = 0, asleep;
    CHECK_EQ(emitter->fire_garbage(), 0);
    CHECK_PTR(emitter->code_new(), NULL);
    emitter->code_retain(&answers);
    emitter->code_release(NULL);
    emitter->code_release(&answers);
    CHECK_EQ(emitter->set_host(NULL), RMON_OK);
    asleep = emitter->ask(&answers);
    CHECK_EQ(asleep, answers);
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_EQ(emitter->fire(), 0);
    CHECK_PTR(emitter->slot->table, NULL);
    CHECK_EQ(*emitter->slot->version, 0);
    CHECK_EQ(emitter->slot->flags, RMON_HOST_NONE);
}

static void codes_are_made_when_awake(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    int answers = 0;
    void *code;
    CHECK_PTR(emitter->code_new(), NULL);
    load_librmon();
    CHECK_PTR(emitter->code_new(), NULL); /* the emitter has looked before */
    CHECK_EQ(api.attach(RMON_HOST_NONE), RMON_OK);
    code = emitter->code_new();
    CHECK(code != NULL);
    CHECK_EQ(emitter->ask(&answers), 1);
    CHECK_EQ(api.detach(RMON_HOST_NONE), RMON_OK);
    CHECK_PTR(emitter->code_new(), NULL);
    CHECK_EQ(api.attach(RMON_HOST_NONE), RMON_OK);
    emitter->code_release(code);
    emitter = lazy_load_emitter();
    code = emitter->code_new(); /* its first call of all */
    CHECK(code != NULL);
    emitter->code_release(code);
}

static void detach_and_attach(void)
{
    const struct lazy_emitter *emitter, *late;
    load_librmon();
    listen_for_lines();
    emitter = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), ALL);
    CHECK_EQ(api.detach(2), RMON_ERR_INVALID_ARGUMENT);
    CHECK_EQ(api.attach(UINT32_MAX), RMON_ERR_INVALID_ARGUMENT);
    CHECK_EQ(api.detach(RMON_HOST_PYTHON), RMON_OK); /* others than this one */
    CHECK_EQ(heard_of(emitter), ALL);
    CHECK_EQ(api.detach(RMON_HOST_NONE), RMON_OK);
    events = 0;
    CHECK_EQ(emitter->fire(), RMON_OK); /* its state is active */
    CHECK_EQ(emitter->fire_garbage(), RMON_OK);
    CHECK_EQ(events, 0);
    CHECK_EQ(api.detach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_EQ(*emitter->slot->version, 0);
    late = lazy_load_emitter();
    CHECK_EQ(heard_of(late), 0);
    CHECK_EQ(api.use_tool_id(4, "another"), RMON_OK); /* wakes nobody who is to sleep */
    CHECK_EQ(api.free_tool_id(4), RMON_OK);
    CHECK_EQ(heard_of(emitter) + heard_of(late), 0);
    CHECK_EQ(api.attach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(heard_of(emitter) + heard_of(late), 2 * ALL);
    CHECK_EQ(api.attach(RMON_HOST_PYTHON), RMON_OK);
    CHECK_EQ(heard_of(emitter) + heard_of(late), 2 * ALL);
}

static void unloaded_emitters_are_forgotten(void)
{
    int round;
    load_librmon();
    for (round = 0; round < 20; round++) {
        void *one = lazy_load("lazy_emitter"), *two = lazy_load("lazy_emitter");
        if (round % 2 == 0)
            CHECK_EQ(lazy_emitter_of(one)->run(1), RMON_OK);
        listen_for_lines();
        CHECK_EQ(heard_of(lazy_emitter_of(one)) + heard_of(lazy_emitter_of(two)), 2 * ALL);
        CHECK_EQ(dlclose(one), 0);
        CHECK_EQ(api.detach(RMON_HOST_NONE), RMON_OK);
        CHECK_EQ(api.attach(RMON_HOST_NONE), RMON_OK);
        CHECK_EQ(heard_of(lazy_emitter_of(two)), ALL);
        CHECK_EQ(dlclose(two), 0);
        CHECK_EQ(api.free_tool_id(3), RMON_OK);
    }
}

static void the_library_cannot_be_unloaded(void)
{
    const struct lazy_emitter *emitter;
    load_librmon();
    listen_for_lines();
    emitter = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), ALL);
    while (dlclose(librmon_handle) == 0 && events++ < 100)
        continue;
    CHECK_EQ(heard_of(emitter), ALL);
}

static void a_forked_child_goes_on(void)
{
    const struct lazy_emitter *emitter;
    pid_t child;
    int status = 0;
    load_librmon();
    listen_for_lines();
    emitter = lazy_load_emitter();
    child = fork();
    if (child == 0) {
        CHECK_EQ(heard_of(emitter), ALL);
        CHECK_EQ(api.detach(RMON_HOST_NONE), RMON_OK);
        CHECK_EQ(heard_of(emitter), 0);
        CHECK_EQ(api.attach(RMON_HOST_NONE), RMON_OK);
        CHECK_EQ(heard_of(emitter), ALL);
        _exit(check_failures != 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(heard_of(emitter), ALL);
}

/* RMON_LIBRARY */

static void the_environment_names_the_library(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    CHECK_EQ(emitter->run(1), RMON_OK);
    CHECK(emitter->slot->table != NULL);
    CHECK(dlopen("librmon.so.0", RTLD_NOW | RTLD_NOLOAD) != NULL);
    load_librmon();
    listen_for_lines();
    CHECK_EQ(heard_of(emitter), ALL);
}

/* RMON_LIBRARY is no good, which is said once; librmon comes later. */
static void the_environment_names_something_else(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    int round;
    for (round = 0; round < 3; round++) {
        CHECK_EQ(heard_of(emitter), 0);
        CHECK_PTR(emitter->code_new(), NULL);
    }
    load_librmon();
    listen_for_lines();
    CHECK_EQ(heard_of(emitter), ALL);
}

/* It is not there: see `secure`. */
static void the_environment_is_ignored(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_PTR(emitter->slot->table, NULL);
    CHECK_PTR(dlopen("librmon.so.0", RTLD_NOW | RTLD_NOLOAD), NULL);
}

/* Nor does RMON_NO_MEMBARRIER keep librmon from registering for membarrier(2), without which the kernel refuses it. */
static void readers_need_not_fence(void)
{
    enum { QUERY = 0, PRIVATE_EXPEDITED = 1 << 3 };
    long known = syscall(SYS_membarrier, QUERY, 0, 0);
    if (known < 0 || (known & PRIVATE_EXPEDITED) == 0) {
        printf("SKIPPED: RMON_NO_MEMBARRIER in set-user-id programs: this kernel has no membarrier\n");
        return;
    }
    CHECK_EQ(syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0), -1);
    load_librmon();
    listen_for_lines();
    CHECK_EQ(syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0), 0);
}

/* Impostors */

static int impostor_number(const char *name)
{
    void *impostor = dlopen(getenv("RMON_LIBRARY"), RTLD_NOW | RTLD_NOLOAD);
    const int *number = (const int *)(impostor != NULL ? dlsym(impostor, name) : NULL);
    return CHECK(number != NULL) ? *number : -1;
}

static void a_larger_table_is_used(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_EQ(impostor_number("impostor_fires"), ALL);
    CHECK_EQ(impostor_number("impostor_slots"), 2);
}

static void a_bad_table_is_not_used(void)
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    int answers = 0, round;
    for (round = 0; round < 3; round++) {
        CHECK_EQ(heard_of(emitter), 0);
        CHECK_EQ(emitter->fire_garbage(), RMON_OK);
        CHECK_PTR(emitter->code_new(), NULL);
        CHECK_EQ(emitter->ask(&answers), 7);
    }
    CHECK_EQ(impostor_number("impostor_fires"), 0);
    CHECK_EQ(impostor_number("impostor_enters"), 0);
    CHECK_EQ(impostor_number("impostor_slots"), 2);
    CHECK_EQ(*emitter->slot->version, 0); /* an unchanged scope costs a comparison */
}

/* Slots of other versions. What is changed in them is what another header would have put there. */

static const struct lazy_emitter *changed(void (*change)(rmon_slot *))
{
    const struct lazy_emitter *emitter = lazy_load_emitter();
    change(emitter->slot);
    change(emitter->second_slot());
    return emitter;
}

static void make_older(rmon_slot *slot)
{
    slot->table_size = offsetof(rmon_table, code_new);
}

static void make_newer(rmon_slot *slot)
{
    slot->table_size += 8;
}

static void make_other_abi(rmon_slot *slot)
{
    slot->abi_version += 1;
}

static void make_small(rmon_slot *slot)
{
    slot->struct_size -= 8;
}

static void make_other_host(rmon_slot *slot)
{
    slot->flags = 200;
}

static void (*change)(rmon_slot *);

static void an_older_emitter_is_attached(void)
{
    load_librmon();
    listen_for_lines();
    CHECK_EQ(heard_of(changed(make_older)), ALL);
}

static void what_does_not_fit_is_refused_when_it_comes(void)
{
    const struct lazy_emitter *emitter;
    load_librmon();
    listen_for_lines();
    emitter = changed(change);
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_EQ(heard_of(lazy_load_emitter()), ALL);
    CHECK_EQ(api.use_tool_id(4, "another"), RMON_OK);
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_EQ(emitter->fire_garbage(), RMON_OK);
}

static void what_does_not_fit_is_refused_when_it_is_found(void)
{
    const struct lazy_emitter *emitter = changed(change), *other = lazy_load_emitter();
    CHECK_EQ(heard_of(emitter), 0);
    load_librmon();
    listen_for_lines();
    CHECK_EQ(heard_of(emitter), 0);
    CHECK_EQ(heard_of(other), ALL);
    CHECK_EQ(api.attach(RMON_HOST_NONE), RMON_OK);
    CHECK_EQ(heard_of(emitter), 0);
}

/* The loader has locks of its own: saying what is wrong must not wait for one that somebody holds who waits for us. */

static int stop;

static void *load_and_unload(void *argument)
{
    (void)argument;
    while (!flag_get(&stop))
        CHECK_EQ(dlclose(lazy_load("lazy_emitter")), 0);
    return NULL;
}

static void refusing_does_not_wait_for_the_loader(void)
{
    const struct lazy_emitter *emitter = changed(make_other_abi);
    pthread_t loader;
    int round, rounds = check_scaled(2000);
    load_librmon();
    loader = thread_start(load_and_unload, NULL);
    for (round = 0; round < rounds; round++) {
        __atomic_store_n(&emitter->slot->flags, 0, __ATOMIC_RELAXED); /* as if nothing had been said */
        __atomic_store_n(&emitter->second_slot()->flags, 0, __ATOMIC_RELAXED);
        CHECK_EQ(api.use_tool_id(4, "another"), RMON_OK);
        CHECK_EQ(api.free_tool_id(4), RMON_OK);
    }
    flag_set(&stop, 1);
    thread_join(loader);
}

/* ---- The processes ---- */

static char errors[8192]; /* what the last child wrote to standard error */

/* Runs a test in a child, with these environment variables (NULL: none). */
static void in_child(const char *name, void (*test)(void), const char *library, const char *impostor)
{
    char path[PATH_MAX];
    size_t length = 0;
    FILE *file;
    pid_t child;
    int status = 0;
    check_test = name;
    lazy_new_file(path, sizeof path);
    child = fork();
    if (child == 0) {
        if (freopen(path, "w", stderr) == NULL)
            _exit(3);
        setvbuf(stderr, NULL, _IONBF, 0);
        check_failures = 0; /* of its own */
        signal(SIGALRM, check_too_slow);
        alarm(60);
        unsetenv("RMON_LIBRARY");
        if (library != NULL)
            setenv("RMON_LIBRARY", library, 1);
        if (impostor != NULL)
            setenv("IMPOSTOR", impostor, 1);
        test();
        _exit(check_failures != 0);
    }
    waitpid(child, &status, 0);
    file = fopen(path, "r");
    if (file != NULL) {
        length = fread(errors, 1, sizeof errors - 1, file);
        fclose(file);
    }
    errors[length] = '\0';
    unlink(path);
    if (!CHECK_EQ(status, 0))
        fprintf(stderr, "%.2000s\n", errors);
}

#define IN_CHILD(test, library) in_child(#test, test, library, NULL)

/* Whether the last child wrote one line, with this text in it. */
static void says_once(const char *text)
{
    char *end = strchr(errors, '\n');
    if (!CHECK(strncmp(errors, "rmon", 4) == 0 && strstr(errors, text) != NULL && end != NULL && end[1] == '\0'))
        fprintf(stderr, "    it should say once: %s\n    it says: %s\n", text, errors);
}

static void says_nothing(void)
{
    CHECK_TEXT(errors, "");
}

/* Where librmon.so.0 is, without having it in this process. */
static void find_librmon(void)
{
    int ends[2];
    ssize_t length;
    if (!CHECK_EQ(pipe(ends), 0))
        _exit(1);
    if (fork() == 0) {
        struct link_map *map = NULL;
        void *handle = dlopen("librmon.so.0", RTLD_NOW);
        if (handle == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0
            || write(ends[1], map->l_name, strlen(map->l_name)) < 0)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    length = read(ends[0], librmon, sizeof librmon - 1);
    close(ends[0]);
    wait(NULL);
    if (!CHECK(length > 0))
        _exit(1);
}

static void test_impostors(void)
{
    static const char *const bad[] = {"corrupt", "truncated", "other ABI", "empty", "no version"};
    char path[PATH_MAX];
    size_t i;
    lazy_path(path, sizeof path, "lazy_impostor");
    in_child("a_larger_table_is_used", a_larger_table_is_used, path, "larger");
    says_nothing();
    in_child("refuses", a_bad_table_is_not_used, path, "refuses");
    says_nothing();
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        in_child(bad[i], a_bad_table_is_not_used, path, bad[i]);
        says_once("not a fitting librmon");
    }
}

static void test_environment(void)
{
    char text[PATH_MAX];
    Dl_info libc;
    IN_CHILD(the_environment_names_the_library, librmon);
    says_nothing();
    IN_CHILD(the_environment_names_something_else, "");
    says_nothing();
    IN_CHILD(the_environment_names_something_else, "/nowhere/librmon.so.0");
    says_once("/nowhere/librmon.so.0");
    IN_CHILD(the_environment_names_something_else, "/");
    says_once("RMON_LIBRARY cannot be loaded: /");
    lazy_new_file(text, sizeof text);
    IN_CHILD(the_environment_names_something_else, text);
    says_once(text);
    unlink(text);
    /* (A sanitizer has the functions that programs use most in the program.) */
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"), &libc) != 0 && libc.dli_fname[0] == '/');
    IN_CHILD(the_environment_names_something_else, libc.dli_fname);
    says_once("libc.so.6, which is not librmon");
    IN_CHILD(the_environment_names_something_else, "librmon.so.0"); /* the loader would find it */
    says_once("librmon.so.0, which does not begin with a slash");
}

static void test_other_versions(void)
{
    static const struct {
        void (*change)(rmon_slot *);
        const char *said;
    } all[] = {
        {make_newer, "was built for a newer rmon"},
        {make_other_abi, "was built for ABI 1 of rmon, and this is ABI 0"},
        {make_small, "has a slot that does not fit"},
        {make_other_host, "has a slot that does not fit"},
    };
    size_t i;
    IN_CHILD(an_older_emitter_is_attached, NULL);
    says_nothing();
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        change = all[i].change;
        IN_CHILD(what_does_not_fit_is_refused_when_it_comes, NULL);
        says_once(all[i].said);
        says_once("/rmon-lazy-");
        IN_CHILD(what_does_not_fit_is_refused_when_it_is_found, NULL);
        says_once(all[i].said);
    }
}

/* A program with privileges that its user has not: a set-user-id one. Its files are where everybody can read them. */
static void test_secure(void)
{
    char folder[] = "/tmp/rmon-lazy-XXXXXX", exe[64], plug_in[128], library[64], path[PATH_MAX];
    pid_t child;
    int status = 0;
    check_test = "test_secure";
    if (geteuid() != 0) {
        printf("SKIPPED: RMON_LIBRARY in set-user-id programs: only root can make one for another user\n");
        return;
    }
    if (!CHECK(mkdtemp(folder) != NULL))
        return;
    snprintf(exe, sizeof exe, "%s/lazy", folder);
    snprintf(plug_in, sizeof plug_in, "%s.lazy_emitter.so", exe);
    snprintf(library, sizeof library, "%s/librmon.so.0", folder);
    lazy_path(path, sizeof path, "lazy_emitter");
    CHECK(lazy_copy("/proc/self/exe", exe) && lazy_copy(path, plug_in) && lazy_copy(librmon, library));
    CHECK_EQ(chmod(folder, 0755) | chmod(exe, 04755) | chmod(plug_in, 0755) | chmod(library, 0755), 0);
    child = fork();
    if (child == 0) {
        setenv("RMON_LIBRARY", library, 1);
        setenv("RMON_NO_MEMBARRIER", "1", 1);
        setenv("TMPDIR", "/tmp", 1);
        if (setgid(65534) == 0 && setuid(65534) == 0)
            execl(exe, exe, "secure", library, (char *)NULL);
        _exit(3);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        printf("SKIPPED: RMON_LIBRARY in set-user-id programs: %s is not on a file system that has them\n", folder);
    else
        CHECK_EQ(status, 0);
    unlink(exe), unlink(plug_in), unlink(library), rmdir(folder);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "secure") == 0) {
        if (getauxval(AT_SECURE) == 0)
            return 77;
        the_environment_is_ignored();
        snprintf(librmon, sizeof librmon, "%s", argc > 2 ? argv[2] : "");
        readers_need_not_fence();
        return check_failures != 0;
    }
    unsetenv("RMON_LIBRARY");
    find_librmon();
    IN_CHILD(emitters_find_the_library, NULL);
    says_nothing();
    IN_CHILD(emitters_find_the_library, "/nowhere"); /* not needed, so not looked at */
    says_nothing();
    IN_CHILD(the_library_finds_emitters, NULL);
    says_nothing();
    IN_CHILD(the_library_finds_emitters_that_have_not_begun, NULL);
    IN_CHILD(nothing_happens_without_the_library, NULL);
    says_nothing();
    IN_CHILD(codes_are_made_when_awake, NULL);
    IN_CHILD(detach_and_attach, NULL);
    IN_CHILD(unloaded_emitters_are_forgotten, NULL);
    IN_CHILD(the_library_cannot_be_unloaded, NULL);
    IN_CHILD(a_forked_child_goes_on, NULL);
    IN_CHILD(refusing_does_not_wait_for_the_loader, NULL);
    test_environment();
    test_impostors();
    test_other_versions();
    test_secure();
    return check_result();
}
