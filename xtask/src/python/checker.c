/* Follows every object's reference count by the reports of an instrumented CPython alone, and compares it with the
   object's own field at each report. Preloaded; MINOR is the interpreter's version. Where it does not agree is an
   exception. Each process leaves an account in a file that VIVARIUM_CHECK begins the name of.

   A count is taken from the field only when the object is seen for the first time without having been born: then it must
   lie in the memory that some library or the executable brought along. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vivarium.h"

/* What is known of an object; a new one at the same address is a new generation. */
enum { FREE = 0, DEAD, NASCENT, ALIVE };
struct object {
    uintptr_t address;
    int64_t count;
    uint32_t generation;
    uint8_t state;
    uint8_t dying;
    uint8_t deposited;
    uint8_t found;
};

static struct object *table;
static size_t capacity, used;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (**hook)(uint32_t, void *, intptr_t);
static uint64_t events[20], exceptions, born, found, deaths, revived;
static char *details;
static pid_t process;
static int shown;

/* What is open in this thread: brackets must close in order. */
struct open {
    uint32_t what;
    uint32_t generation;
    uintptr_t object;
};
static __thread struct open *stack;
static __thread size_t depth, room;

static void *
pages(size_t size)
{
    void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "the checker has no memory left\n");
        abort();
    }
    return memory;
}

static struct object *
place(uintptr_t address)
{
    size_t at = (address >> 4) * 0x9E3779B97F4A7C15u >> 20 & (capacity - 1);
    while (table[at].address != 0 && table[at].address != address) {
        at = (at + 1) & (capacity - 1);
    }
    return &table[at];
}

static struct object *
entry(uintptr_t address)
{
    struct object *one = place(address);
    if (one->address != 0) {
        return one;
    }
    if (++used * 2 > capacity) {
        struct object *old = table;
        size_t size = capacity;
        capacity *= 2;
        table = pages(capacity * sizeof *table);
        for (size_t i = 0; i < size; i++) {
            if (old[i].address != 0) {
                *place(old[i].address) = old[i];
            }
        }
        munmap(old, size * sizeof *old);
        one = place(address);
    }
    one->address = address;
    return one;
}

/* The field as this version understands it. */
#if MINOR < 12
typedef int64_t field;
#else
typedef uint32_t field;
#endif

static field
real(uintptr_t address)
{
    return *(volatile field *)address;
}

/* Reads memory that may be gone. It asks for its own thread: the first one may have ended before the process does. */
static int
read_safely(uintptr_t from, void *to, size_t size)
{
    struct iovec local = { to, size }, remote = { (void *)from, size };
    return process_vm_readv(gettid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static void
name_type(uintptr_t address, char *name, size_t size)
{
    uintptr_t type, text;
    memset(name, 0, size);
    if (!read_safely(address + 8, &type, sizeof type) || !read_safely(type + 24, &text, sizeof text)) {
        strcpy(name, "?");
        return;
    }
    for (size_t i = 0; i + 1 < size && read_safely(text + i, name + i, 1) && name[i] != 0; i++) {
        if (name[i] < ' ' || name[i] > '~') {
            name[i] = '?';
        }
    }
}

static void
exception(uintptr_t address, const char *format, ...)
{
    exceptions++;
    if (shown >= 10) {
        return;
    }
    shown++;
    char name[64], text[256];
    name_type(address, name, sizeof name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    void *frames[12];
    int count = backtrace(frames, 12);
    char *all = 0;
    size_t size = 0;
    FILE *stream = open_memstream(&all, &size);
    fprintf(stream, "%sexception %s at %#lx: %s;", details ? details : "", name, (unsigned long)address, text);
    for (int i = 2; i < count; i++) {
        Dl_info info;
        if (dladdr(frames[i], &info) && info.dli_fname) {
            const char *file = strrchr(info.dli_fname, '/');
            fprintf(stream, " %s+%#lx %s", file ? file + 1 : info.dli_fname,
                    (unsigned long)((uintptr_t)frames[i] - (uintptr_t)info.dli_fbase),
                    info.dli_sname ? info.dli_sname : "");
        }
    }
    fprintf(stream, "\n");
    fclose(stream);
    free(details);
    details = all;
}

static int
holds(struct dl_phdr_info *info, size_t size, void *data)
{
    uintptr_t address = (uintptr_t)data;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && address >= start
            && address < start + info->dlpi_phdr[i].p_memsz) {
            return 1;
        }
    }
    return 0;
}

static int
in_library(uintptr_t address)
{
    return dl_iterate_phdr(holds, (void *)address);
}

static void
find_object(struct object *one, int64_t count)
{
    one->state = ALIVE;
    one->found = 1;
    one->generation++;
    one->dying = one->deposited = 0;
    one->count = count;
    found++;
    if (!in_library(one->address)) {
        exception(one->address, "it was never born");
    }
}

static void
compare(struct object *one, const char *when)
{
    field it_is = real(one->address);
    if ((field)one->count != it_is) {
        exception(one->address, "%s: its count is %lld, by the reports %lld", when, (long long)it_is,
                  (long long)one->count);
        one->count = it_is;
    }
}

static void
bracket(uint32_t what, uintptr_t address, uint32_t generation)
{
    if (depth == room) {
        room = room ? room * 2 : 256;
        stack = realloc(stack, room * sizeof *stack);
        if (stack == 0) {
            abort();
        }
    }
    stack[depth++] = (struct open){ what, generation, address };
}

/* The generation of what the bracket was opened for; one that is not the last is closed along with what is in it. */
static uint32_t
unbracket(uint32_t what, uintptr_t address)
{
    for (size_t at = depth; at > 0; at--) {
        if (stack[at - 1].what == what && stack[at - 1].object == address) {
            if (at != depth) {
                exception(address, "%zu reports have no second half before %u has", depth - at, what + 1);
            }
            depth = at - 1;
            return stack[at - 1].generation;
        }
    }
    exception(address, "%u without %u", what + 1, what);
    return UINT32_MAX;
}

static void
follow(uint32_t what, uintptr_t address, intptr_t value)
{
    struct object *one = address ? entry(address) : 0;
    int is_count = what <= VIVARIUM_DEALLOC;
    if (is_count && what != VIVARIUM_SET && what != VIVARIUM_BORN) {
        /* Where something died a library may have been loaded since. */
        if (one->state == FREE || (one->state == DEAD && in_library(address))) {
            find_object(one, real(address) - (what == VIVARIUM_INCREMENT));
        }
        else if (one->state == NASCENT && in_library(address)) {
            find_object(one, one->count);
        }
        else if (one->state != ALIVE) {
            exception(address, "%u of an object that is %s", what,
                      one->state == DEAD ? "dead" : "not born yet");
            one->state = ALIVE;
            one->count = real(address) - (what == VIVARIUM_INCREMENT);
        }
    }
    switch (what) {
    case VIVARIUM_INCREMENT:
        one->count++;
        compare(one, "raised");
        break;
    case VIVARIUM_DECREMENT:
        compare(one, "before it is lowered");
        if (one->count-- <= 0) {
            exception(address, "lowered below 0");
        }
        break;
    case VIVARIUM_SET:
        if (one->state == FREE && in_library(address)) {
            find_object(one, value);
        }
        else if (one->state != ALIVE) {
            one->state = NASCENT;
        }
        one->count = value;
        compare(one, "set");
        break;
    case VIVARIUM_BORN:
        if (one->state == ALIVE && !one->dying) {
            if (one->found) {
                found--;
            }
            else {
                exception(address, "born, but the one before has not died");
            }
        }
        compare(one, "born");
        if (one->count != 1) {
            exception(address, "born with a count of %lld", (long long)one->count);
        }
        one->state = ALIVE;
        one->generation++;
        one->dying = one->deposited = one->found = 0;
        born++;
        break;
    case VIVARIUM_DEALLOC:
        compare(one, "at its dealloc");
        if (one->count != 0) {
            exception(address, "at its dealloc its count is %lld", (long long)one->count);
        }
        if (one->dying || one->deposited) {
            exception(address, "its dealloc is called twice");
        }
        one->dying = 1;
        bracket(what, address, one->generation);
        break;
    case VIVARIUM_DEALLOCATED:
        if (unbracket(VIVARIUM_DEALLOC, address) == one->generation && one->dying) {
            one->dying = 0;
            if (one->count > 0) {
                compare(one, "after it was revived");
                revived++;
            }
            else if (!one->deposited) {
                one->state = DEAD;
                deaths++;
            }
        }
        else {
            /* Its memory has a new owner. */
            deaths++;
        }
        break;
    case VIVARIUM_DEPOSITED:
        if (!one->dying || one->deposited) {
            exception(address, "deposited outside of its dealloc");
        }
        compare(one, "deposited");
        one->deposited = 1;
        break;
    case VIVARIUM_DRAINING:
        if (!one->deposited) {
            exception(address, "taken from the trashcan without being there");
        }
        one->deposited = 0;
        break;
    case VIVARIUM_MOVED:
        if ((uintptr_t)value != address) {
            struct object old = *place((uintptr_t)value);
            if (old.state != ALIVE) {
                exception(address, "moved from where no object was");
            }
            if (one->state == ALIVE && !one->dying) {
                exception(address, "moved to where an object was");
            }
            one->state = ALIVE;
            one->count = old.count;
            one->generation++;
            one->dying = one->deposited = one->found = 0;
            place((uintptr_t)value)->state = DEAD;
        }
        compare(one, "moved");
        break;
    case VIVARIUM_FINALIZER:
    case VIVARIUM_CALLBACK:
    case VIVARIUM_COLLECTION:
    case VIVARIUM_CLEARING:
        bracket(what, address, 0);
        break;
    case VIVARIUM_FINALIZED:
    case VIVARIUM_CALLED_BACK:
    case VIVARIUM_COLLECTED:
    case VIVARIUM_CLEARED:
        unbracket(what - 1, address);
        break;
    case VIVARIUM_FINALIZERS_RUN:
    case VIVARIUM_CHECK:
        break;
    default:
        exception(address, "an unknown report: %u", what);
    }
}

static void
listen(uint32_t what, void *object, intptr_t value)
{
    pthread_mutex_lock(&lock);
    events[what < 20 ? what : 0]++;
    follow(what, (uintptr_t)object, value);
    pthread_mutex_unlock(&lock);
}

enum { BATCH = 512 };

static void
look_at(struct object **some, int count)
{
    field all[BATCH];
    struct iovec local = { all, count * sizeof *all }, remote[BATCH];
    for (int i = 0; i < count; i++) {
        remote[i] = (struct iovec){ (void *)some[i]->address, sizeof *all };
    }
    ssize_t got = process_vm_readv(gettid(), &local, 1, remote, count, 0);
    if (got != (ssize_t)local.iov_len && count > 1) {
        /* One of them is gone. */
        for (int i = 0; i < count; i++) {
            look_at(&some[i], 1);
        }
        return;
    }
    for (int i = 0; i < count; i++) {
        struct object *one = some[i];
        if (got != (ssize_t)local.iov_len) {
            exception(one->address, "at the end its memory is gone");
        }
        else if (all[i] != (field)one->count) {
            exception(one->address, "at the end its count is %lld, by the reports %lld", (long long)all[i],
                      (long long)one->count);
        }
    }
}

/* Those that nothing has said the death of must still be there, with the counts that they should have. */
static uint64_t
look_at_survivors(void)
{
    uint64_t alive = 0;
    struct object *some[BATCH];
    int count = 0;
    for (size_t i = 0; i < capacity; i++) {
        struct object *one = &table[i];
        if (one->state == NASCENT && !in_library(one->address)) {
            exception(one->address, "it was given a count and never born");
        }
        if (one->state == ALIVE) {
            alive++;
            some[count++] = one;
        }
        if (count == BATCH || (i + 1 == capacity && count > 0)) {
            look_at(some, count);
            count = 0;
        }
    }
    return alive;
}

static void
give_account(void)
{
    const char *prefix = getenv("VIVARIUM_CHECK");
    /* One that was forked without a table of its own uses its parent's memory. */
    if (hook == 0 || *hook != listen || getpid() != process) {
        return;
    }
    *hook = 0;
    pthread_mutex_lock(&lock);
    uint64_t total = 0, alive = look_at_survivors();
    for (int i = 0; i < 20; i++) {
        total += events[i];
    }
    char path[4096];
    snprintf(path, sizeof path, "%s%d", prefix ? prefix : "", (int)process);
    FILE *file = fopen(prefix ? path : "/dev/stderr", "a");
    if (file != 0) {
        fprintf(file, "events %lu\nborn %lu\nfound %lu\ndeaths %lu\nalive %lu\nrevived %lu\nexceptions %lu\nof-each",
                total, born, found, deaths, alive, revived, exceptions);
        for (int i = 1; i < 20; i++) {
            fprintf(file, " %lu", events[i]);
        }
        fprintf(file, "\n%s", details ? details : "");
        fclose(file);
    }
    pthread_mutex_unlock(&lock);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

/* A child accounts for itself alone. */
static void
in_child(void)
{
    memset(events, 0, sizeof events);
    exceptions = born = found = deaths = revived = 0;
    shown = 0;
    free(details);
    details = 0;
    process = getpid();
    pthread_mutex_unlock(&lock);
}

/* Ends that run no destructors. */
__attribute__((visibility("default"), noreturn)) void
_exit(int status)
{
    give_account();
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

__attribute__((constructor)) static void
begin(void)
{
    const uint32_t *version = dlsym(RTLD_DEFAULT, "_Vivarium_Version");
    void *variable = dlsym(RTLD_DEFAULT, "_Vivarium_Hook");
    if (version == 0 || variable == 0 || *version != 1) {
        return;
    }
    hook = variable;
    process = getpid();
    capacity = 1 << 16;
    table = pages(capacity * sizeof *table);
    pthread_atfork(before_fork, after_fork, in_child);
    *hook = listen;
}

__attribute__((destructor)) static void
end(void)
{
    give_account();
}
