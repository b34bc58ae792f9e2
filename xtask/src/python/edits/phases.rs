//! Where objects die, and what runs in between: finalizers, callbacks, the collector, the evaluation loop's checks.

use super::{ALL, After, Before, Change, Edit, Instead, NEW, OLD, edit};

const OBJECT_C: &str = "Objects/object.c";
const COLLECTOR_OLD: &str = "Modules/gcmodule.c";
const COLLECTOR: &str = "Python/gc.c";

pub(super) const EDITS: &[Edit] = &[
    // Death: of any object, and in the trashcan's queue.
    edit(
        OBJECT_C,
        ALL,
        2,
        "(*dealloc)(op);\n",
        Instead("VIVARIUM(DEALLOC, op, 0); (*dealloc)(op); VIVARIUM(DEALLOCATED, op, 0);\n"),
    ),
    // Death by a dealloc that the caller knows.
    edit(
        "Include/internal/pycore_object.h",
        ALL,
        1,
        "        destruct(op);\n",
        Instead("        VIVARIUM(DEALLOC, op, 0); destruct(op); VIVARIUM(DEALLOCATED, op, 0);\n"),
    ),
    edit(
        OBJECT_C,
        OLD,
        1,
        "    tstate->trash_delete_later = op;\n",
        After("    VIVARIUM(DEPOSITED, op, 0);\n"),
    ),
    edit(OBJECT_C, NEW, 1, "    tstate->delete_later = op;\n", After("    VIVARIUM(DEPOSITED, op, 0);\n")),
    edit(
        OBJECT_C,
        ALL,
        1,
        "(PyObject*) _PyGCHead_PREV(_Py_AS_GC(op));\n",
        After("        VIVARIUM(DRAINING, op, 0);\n"),
    ),
    // Finalizers: of any object that dies, those of old in instances of classes, and the collector's.
    edit(
        OBJECT_C,
        ALL,
        1,
        "    tp->tp_finalize(self);\n",
        Instead("    VIVARIUM(FINALIZER, self, 0); tp->tp_finalize(self); VIVARIUM(FINALIZED, self, 0);\n"),
    ),
    edit(
        "Objects/typeobject.c",
        ALL,
        2,
        "type->tp_del(self);\n",
        Instead("VIVARIUM(FINALIZER, self, 0); type->tp_del(self); VIVARIUM(FINALIZED, self, 0);\n"),
    ),
    collector(OLD, " finalize(op);\n", FINALIZE),
    collector(NEW, " finalize(op);\n", FINALIZE),
    // Callbacks of weak references.
    edit(
        "Objects/weakrefobject.c",
        ALL,
        1,
        "    PyObject *cbresult = PyObject_CallOneArg(callback, (PyObject *)ref);\n",
        Before("    VIVARIUM(CALLBACK, ref, 0);\n"),
    ),
    edit(
        "Objects/weakrefobject.c",
        ALL,
        1,
        "    PyObject *cbresult = PyObject_CallOneArg(callback, (PyObject *)ref);\n",
        After("    VIVARIUM(CALLED_BACK, ref, 0);\n"),
    ),
    collector(OLD, " temp = PyObject_CallOneArg(callback, (PyObject *)wr);\n", CALL_BACK),
    collector(NEW, " temp = PyObject_CallOneArg(callback, (PyObject *)wr);\n", CALL_BACK),
    // The collector, without the functions in `gc.callbacks`.
    collector(OLD, "    /* update collection and allocation counters */\n", COLLECTION),
    collector(NEW, "    /* update collection and allocation counters */\n", COLLECTION),
    collector(OLD, "    finalize_garbage(tstate, &unreachable);\n", FINALIZERS_RUN),
    collector(NEW, "    finalize_garbage(tstate, &unreachable);\n", FINALIZERS_RUN),
    collector(OLD, " (void) clear(op);\n", CLEAR),
    collector(NEW, " (void) clear(op);\n", CLEAR),
    collector(OLD, "    assert(!_PyErr_Occurred(tstate));\n    return n + m;\n", COLLECTED),
    collector(
        NEW,
        "    if (reason != _Py_GC_REASON_SHUTDOWN) {\n        invoke_gc_callback(tstate, \"stop\"",
        COLLECTED,
    ),
    // The evaluation loop's checks.
    edit(
        "Python/ceval.c",
        OLD,
        1,
        "eval_frame_handle_pending(PyThreadState *tstate)\n{\n",
        After("    VIVARIUM(CHECK, 0, 0);\n"),
    ),
    edit(
        "Python/ceval_gil.c",
        NEW,
        1,
        "_Py_HandlePending(PyThreadState *tstate)\n{\n",
        After("    VIVARIUM(CHECK, 0, 0);\n"),
    ),
];

const FINALIZE: Change = Instead(" VIVARIUM(FINALIZER, op, 1); finalize(op); VIVARIUM(FINALIZED, op, 1);\n");
const CALL_BACK: Change = Instead(
    " VIVARIUM(CALLBACK, wr, 1);\n        temp = PyObject_CallOneArg(callback, (PyObject *)wr);\n\
     \x20       VIVARIUM(CALLED_BACK, wr, 1);\n",
);
const COLLECTION: Change = Before("    VIVARIUM(COLLECTION, 0, generation);\n");
const FINALIZERS_RUN: Change = After("    VIVARIUM(FINALIZERS_RUN, 0, 0);\n");
const CLEAR: Change = Instead(" VIVARIUM(CLEARING, op, 0); (void) clear(op); VIVARIUM(CLEARED, op, 0);\n");
const COLLECTED: Change = Before("    VIVARIUM(COLLECTED, 0, n + m);\n");

/// An edit of the collector, whose file was moved.
const fn collector(minors: std::ops::RangeInclusive<u32>, anchor: &'static str, change: Change) -> Edit {
    let file = if *minors.start() < 12 { COLLECTOR_OLD } else { COLLECTOR };
    edit(file, minors, 1, anchor, change)
}
