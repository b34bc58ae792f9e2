/* Reports of every change of every reference count, to whoever listens.

   Part of Vivarium's instrumented builds of CPython; included by object.h, so that extensions built against these headers
   report, too. What each report means is said in xtask/src/python/mod.rs. */

#ifndef VIVARIUM_H
#define VIVARIUM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VIVARIUM_INCREMENT = 1,
    VIVARIUM_DECREMENT = 2,
    VIVARIUM_SET = 3,
    VIVARIUM_BORN = 4,
    VIVARIUM_DEALLOC = 5,
    VIVARIUM_DEALLOCATED = 6,
    VIVARIUM_DEPOSITED = 7,
    VIVARIUM_DRAINING = 8,
    VIVARIUM_FINALIZER = 9,
    VIVARIUM_FINALIZED = 10,
    VIVARIUM_CALLBACK = 11,
    VIVARIUM_CALLED_BACK = 12,
    VIVARIUM_COLLECTION = 13,
    VIVARIUM_COLLECTED = 14,
    VIVARIUM_FINALIZERS_RUN = 15,
    VIVARIUM_CLEARING = 16,
    VIVARIUM_CLEARED = 17,
    VIVARIUM_CHECK = 18,
    VIVARIUM_MOVED = 19
};

/* Null unless somebody listens. */
extern __attribute__((visibility("default"))) void (*_Vivarium_Hook)(uint32_t what, void *object, intptr_t value);
extern __attribute__((visibility("default"))) const uint32_t _Vivarium_Version;

static inline __attribute__((always_inline)) void
_Vivarium_Report(uint32_t what, void *object, intptr_t value)
{
    void (*hook)(uint32_t, void *, intptr_t) = _Vivarium_Hook;
    if (__builtin_expect(hook != 0, 0)) {
        hook(what, object, value);
    }
}

#define VIVARIUM(what, object, value) _Vivarium_Report(VIVARIUM_ ## what, (void *)(object), (intptr_t)(value))

#ifdef __cplusplus
}
#endif

#endif
