//! Where counts change and objects begin.
//!
//! * Counting up and down is in `object.h`, and for callers inside in `pycore_object.h`; extensions of the limited API call
//!   functions that use the same. The bytecode loop defines its own once more, for one compiler's sake: these go, so that
//!   it uses the common ones.
//! * Everything else that writes a count goes through `Py_SET_REFCNT` (list and tuple repetition up to 3.11, interning,
//!   what revives an object for its finalizer, definitions of modules), or is one of a few functions: adding n at once,
//!   making immortal and mortal, and the first count of an object.
//! * Three kinds of iterators are copied, count and all, to be asked what they would still yield.
//! * An object whose block grows or shrinks gets its first count once more, by a function that tells trace-refs builds:
//!   here it is no birth.

use super::{ALL, After, Before, Change, Edit, Instead, NEW, OLD, edit};

const OBJECT_H: &str = "Include/object.h";
const CORE_H: &str = "Include/internal/pycore_object.h";
const OBJECT_C: &str = "Objects/object.c";

pub(super) const EDITS: &[Edit] = &[
    // The hook itself.
    edit(OBJECT_H, ALL, 1, "#define Py_OBJECT_H\n", After("#include \"vivarium.h\"\n")),
    edit(
        OBJECT_C,
        ALL,
        1,
        "#include \"Python.h\"\n",
        After(
            "void (*_Vivarium_Hook)(uint32_t what, void *object, intptr_t value) = 0;\n\
             const uint32_t _Vivarium_Version = 1;\n",
        ),
    ),
    // Up.
    edit(OBJECT_H, ALL, 1, "    op->ob_refcnt++;\n", After("    VIVARIUM(INCREMENT, op, 0);\n")),
    edit(
        OBJECT_H,
        NEW,
        1,
        "    op->ob_refcnt_split[PY_BIG_ENDIAN] = new_refcnt;\n",
        After("    VIVARIUM(INCREMENT, op, 0);\n"),
    ),
    // Down. The second is that of a build for debugging.
    edit(OBJECT_H, OLD, 1, "    if (--op->ob_refcnt == 0) {", Before("    VIVARIUM(DECREMENT, op, 0);\n")),
    edit(OBJECT_H, NEW, 2, "    if (--op->ob_refcnt == 0) {", Before("    VIVARIUM(DECREMENT, op, 0);\n")),
    edit(CORE_H, ALL, 1, "    if (--op->ob_refcnt != 0) {", Before("    VIVARIUM(DECREMENT, op, 0);\n")),
    edit(CORE_H, ALL, 1, "    op->ob_refcnt--;\n", Before("    VIVARIUM(DECREMENT, op, 0);\n")),
    edit("Python/ceval.c", OLD, 1, "#if !defined(Py_DEBUG) && !defined(Py_TRACE_REFS)\n", Instead("#if 0\n")),
    edit(
        "Python/ceval.c",
        NEW,
        1,
        "#if !defined(Py_DEBUG) && !defined(Py_TRACE_REFS) && !defined(Py_GIL_DISABLED)\n",
        Instead("#if 0\n"),
    ),
    // Written.
    edit(OBJECT_H, ALL, 1, "    ob->ob_refcnt = refcnt;\n", After("    VIVARIUM(SET, ob, refcnt);\n")),
    edit(CORE_H, NEW, 1, "    op->ob_refcnt += n;\n", After("    VIVARIUM(SET, op, op->ob_refcnt);\n")),
    edit(CORE_H, NEW, 1, "        op->ob_refcnt = refcnt;\n", After("        VIVARIUM(SET, op, refcnt);\n")),
    edit(
        OBJECT_C,
        NEW,
        1,
        "    op->ob_refcnt = _Py_IMMORTAL_REFCNT;\n",
        After("    VIVARIUM(SET, op, _Py_IMMORTAL_REFCNT);\n"),
    ),
    // The first count. `_Py_NewReferenceNoTotal`, which does the same, is only for an object that was moved.
    edit(OBJECT_C, NEW, 1, "    op->ob_refcnt = 1;\n", After("    VIVARIUM(SET, op, 1);\n")),
    edit(OBJECT_C, NEW, 1, "#endif\n    new_reference(op);\n", After("    VIVARIUM(BORN, op, 0);\n")),
    // Up to 3.11 one function is for both, and for the revived.
    edit(
        "Include/cpython/object.h",
        OLD,
        1,
        "PyAPI_FUNC(void) _Py_NewReference(PyObject *op);\n",
        After("PyAPI_FUNC(void) _Vivarium_Again(PyObject *op);\n"),
    ),
    edit(
        OBJECT_C,
        OLD,
        1,
        "_Py_NewReference(PyObject *op)\n{\n",
        Instead(
            "_Py_NewReference(PyObject *op)\n{\n    _Vivarium_Again(op);\n    VIVARIUM(BORN, op, 0);\n}\n\n\
             void\n_Vivarium_Again(PyObject *op)\n{\n",
        ),
    ),
    edit(OBJECT_C, OLD, 1, "    _Py_NewReference(self);\n", Instead("    _Vivarium_Again(self);\n")),
    edit(
        "Modules/_testcapimodule.c",
        OLD,
        1,
        "_Py_NewReference(self);\n",
        Instead("_Vivarium_Again(self);\n"),
    ),
    edit(
        "Objects/tupleobject.c",
        OLD,
        1,
        "_Py_NewReference((PyObject *) sv);\n",
        Instead("_Vivarium_Again((PyObject *) sv);\n"),
    ),
    edit("Objects/bytesobject.c", OLD, 1, "_Py_NewReference(*pv);\n", Instead("_Vivarium_Again(*pv);\n")),
    edit(
        "Objects/unicodeobject.c",
        OLD,
        2,
        "_Py_NewReference(unicode);\n",
        Instead("_Vivarium_Again(unicode);\n"),
    ),
    // Copied: what an iterator would still yield is asked of a copy of it on the machine stack, an object until then.
    edit("Objects/dictobject.c", ALL, 1, "    dictiterobject tmp = *di;\n", COPIED),
    edit("Objects/dictobject.c", ALL, 1, "    Py_XDECREF(tmp.di_dict);\n", COPY_LEFT),
    edit("Objects/odictobject.c", ALL, 1, "    odictiterobject tmp = *di;\n", COPIED),
    edit("Objects/odictobject.c", ALL, 1, "    Py_XDECREF(tmp.di_current);\n", COPY_LEFT),
    edit("Objects/setobject.c", ALL, 1, "    setiterobject tmp = *si;\n", COPIED),
    edit("Objects/setobject.c", ALL, 1, "    Py_XDECREF(tmp.si_set);\n", COPY_LEFT),
    // Moved: bytes, strings, tuples and whatever else the collector knows.
    edit(
        "Objects/bytesobject.c",
        ALL,
        1,
        "    *pv = (PyObject *)\n        PyObject_Realloc(v,",
        Before("    intptr_t vivarium_from = (intptr_t)v;\n"),
    ),
    edit(
        "Objects/bytesobject.c",
        OLD,
        1,
        "    _Vivarium_Again(*pv);\n",
        Before("    VIVARIUM(MOVED, *pv, vivarium_from);\n"),
    ),
    edit(
        "Objects/bytesobject.c",
        NEW,
        1,
        "    _Py_NewReferenceNoTotal(*pv);\n",
        Before("    VIVARIUM(MOVED, *pv, vivarium_from);\n"),
    ),
    edit(
        "Objects/unicodeobject.c",
        ALL,
        1,
        "    new_unicode = (PyObject *)PyObject_Realloc(unicode, new_size);\n",
        Before("    intptr_t vivarium_from = (intptr_t)unicode;\n"),
    ),
    edit(
        "Objects/unicodeobject.c",
        ALL,
        1,
        "    unicode = new_unicode;\n",
        After("    VIVARIUM(MOVED, unicode, vivarium_from);\n"),
    ),
    edit(
        "Modules/gcmodule.c",
        OLD,
        1,
        "    g = (PyGC_Head *)PyObject_Realloc(g,",
        Before("    intptr_t vivarium_from = (intptr_t)op;\n"),
    ),
    edit(
        "Modules/gcmodule.c",
        OLD,
        1,
        "    op = (PyVarObject *) FROM_GC(g);\n",
        After("    VIVARIUM(MOVED, op, vivarium_from);\n"),
    ),
    edit(
        "Python/gc.c",
        NEW,
        1,
        "    mem = (char *)_PyObject_ReallocWithType(",
        Before("    intptr_t vivarium_from = (intptr_t)op;\n"),
    ),
    edit(
        "Python/gc.c",
        NEW,
        1,
        "    op = (PyVarObject *) (mem + presize);\n",
        After("    VIVARIUM(MOVED, op, vivarium_from);\n"),
    ),
];

const COPIED: Change = After("    Py_SET_REFCNT((PyObject *)&tmp, 1); VIVARIUM(BORN, &tmp, 0);\n");
const COPY_LEFT: Change = After(
    "    Py_SET_REFCNT((PyObject *)&tmp, 0); VIVARIUM(DEALLOC, &tmp, 0); VIVARIUM(DEALLOCATED, &tmp, 0);\n",
);
