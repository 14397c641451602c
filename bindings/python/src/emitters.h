/* emitters.h: what the emitters in Python share: codelike.c, scope.c, testing.c. */
#ifndef RMON_EMITTERS_H
#define RMON_EMITTERS_H

#include "module.h"

#include <stddef.h>
#include <structmember.h>

/* For types that are never changed. (3.9 cannot say that.) */
#ifdef Py_TPFLAGS_IMMUTABLETYPE
#define TYPE_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
#else
#define TYPE_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC)
#endif

/* Makes a type and puts it into a module. -1 with an exception. */
static inline int add_new_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && PyModule_AddObject(module, name, type) == 0)
        return 0; /* which has taken it over */
    Py_XDECREF(type);
    return -1;
}

#endif /* RMON_EMITTERS_H */
