/* The module: types that hold the state, and what Python tells it. */

#include "_relay.h"

PyObject *session_type, *backend_type, *scanner_type, *lane_type, *lanes_type, *pool_type,
    *transaction_type, *beginning_type, *statement_type, *planner_type, *point_type,
    *one_shard_type, *wire_type, *watch_type, *usual_variant, *at_once, *clock_dict, *plain_begin,
    *plain_commit, *plain_rollback, *nothing_left;
PyObject *zero, *one, *two, *no_bytes, *begun_answer;
PyObject *n_now, *n_flags, *n_shard, *n_write, *n_note_statement,
    *n_take, *n_take_answer, *n_route, *n_carry_out, *n_parameters,
    *n_common, *n_statements, *n_number, *n_types, *n_was_used, *n_resume_reading,
    *n_data_received, *n_failed, *n_get_write_buffer_size, *n_autocommit;

#define FIELD_MEMBER(prefix, name, text)                                                           \
    {text, T_OBJECT_EX, offsetof(State, at) + prefix##_##name * sizeof(PyObject *), 0, NULL},
#define SESSION_MEMBER(name, text) FIELD_MEMBER(S, name, text)
#define BACKEND_MEMBER(name, text) FIELD_MEMBER(B, name, text)
#define SCANNER_MEMBER(name, text) FIELD_MEMBER(C, name, text)
#define LANE_MEMBER(name, text) FIELD_MEMBER(L, name, text)
#define BRANCHES_MEMBER(name, text) FIELD_MEMBER(T, name, text)
#define BEGINNING_MEMBER(name, text) FIELD_MEMBER(G, name, text)
#define STATEMENT_MEMBER(name, text) FIELD_MEMBER(P, name, text)
#define LANES_MEMBER(name, text) FIELD_MEMBER(N, name, text)
#define POOL_MEMBER(name, text) FIELD_MEMBER(O, name, text)
#define POINT_MEMBER(name, text) FIELD_MEMBER(K, name, text)
#define PLANNER_MEMBER(name, text) FIELD_MEMBER(R, name, text)
static PyMemberDef session_members[] = {SESSION(SESSION_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef backend_members[] = {BACKEND(BACKEND_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef scanner_members[] = {SCANNER(SCANNER_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef lane_members[] = {LANE(LANE_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef branches_members[] = {BRANCHES(BRANCHES_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef beginning_members[] = {BEGINNING(BEGINNING_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef lanes_members[] = {LANES(LANES_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef pool_members[] = {POOL(POOL_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef point_members[] = {POINT(POINT_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef planner_members[] = {PLANNER(PLANNER_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef statement_members[] = {STATEMENT(STATEMENT_MEMBER){NULL, 0, 0, 0, NULL}};

static PyObject *
or_slowly(int done, PyObject *self, PyObject *name, PyObject *data)
{
    if (done < 0)
        return NULL;
    if (done)
        Py_RETURN_NONE;
    return PyObject_CallMethodObjArgs(self, name, data, NULL);
}

PyObject *
session_data_received(PyObject *self, PyObject *data)
{
    return or_slowly(forward(self, data), self, n_take, data);
}

PyObject *
backend_data_received(PyObject *self, PyObject *data)
{
    return or_slowly(pass_on(self, data), self, n_take_answer, data);
}

/* types */

/* All attributes are None until __init__ sets them. */
static PyObject *
made(PyTypeObject *type, int count)
{
    PyObject *self = PyType_GenericAlloc(type, 0);
    for (int i = 0; self != NULL && i < count; i++)
        AT(self, i) = Py_NewRef(Py_None);
    return self;
}

static int
visit(PyObject *self, int count, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    for (int i = 0; i < count; i++)
        Py_VISIT(AT(self, i));
    return 0;
}

static int
clear(PyObject *self, int count)
{
    for (int i = 0; i < count; i++)
        Py_CLEAR(AT(self, i));
    return 0;
}

static void
end_of(PyObject *self, int count)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    clear(self, count);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

#define A_TYPE(name, title, count, members, methods)                                               \
    static int name##_traverse(PyObject *self, visitproc visitor, void *arg)                       \
    {                                                                                              \
        return visit(self, count, visitor, arg);                                                   \
    }                                                                                              \
    static int name##_clear(PyObject *self) { return clear(self, count); }                         \
    static void name##_dealloc(PyObject *self) { end_of(self, count); }                            \
    static PyObject *name##_new(PyTypeObject *type, PyObject *arguments, PyObject *named)          \
    {                                                                                              \
        return made(type, count);                                                                  \
    }                                                                                              \
    static PyType_Slot name##_slots[] = {                                                          \
        {Py_tp_traverse, name##_traverse}, {Py_tp_clear, name##_clear},                            \
        {Py_tp_dealloc, name##_dealloc},   {Py_tp_members, members},                               \
        {Py_tp_methods, methods},          {Py_tp_new, name##_new},                                \
        {0, NULL}};                                             \
    static PyType_Spec name##_spec = {                                                             \
        "mitosis_gate.relay._compiled." title,                                                     \
        offsetof(State, at) + (count) * sizeof(PyObject *), 0,                                     \
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, name##_slots}

static PyMethodDef session_methods[] = {
    {"data_received", session_data_received, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyMethodDef backend_methods[] = {
    {"data_received", backend_data_received, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyMethodDef no_methods[] = {{NULL, NULL, 0, NULL}};

A_TYPE(session, "SessionState", S_COUNT, session_members, session_methods);
A_TYPE(backend, "BackendState", B_COUNT, backend_members, backend_methods);
A_TYPE(scanner, "ScannerState", C_COUNT, scanner_members, no_methods);
A_TYPE(lane, "LaneState", L_COUNT, lane_members, no_methods);
A_TYPE(lanes, "LanesState", N_COUNT, lanes_members, no_methods);
A_TYPE(pool, "PoolState", O_COUNT, pool_members, no_methods);
A_TYPE(point, "PointState", K_COUNT, point_members, no_methods);
A_TYPE(planner, "PlannerState", R_COUNT, planner_members, no_methods);
A_TYPE(branches, "BranchesState", T_COUNT, branches_members, no_methods);
A_TYPE(beginning, "BeginningState", G_COUNT, beginning_members, no_methods);
A_TYPE(statement, "StatementState", P_COUNT, statement_members, no_methods);

/* module */

static PyObject *
shape_of(PyObject *module, PyObject *sql)
{
    Shape shape;
    if (!PyBytes_CheckExact(sql)) {
        PyErr_SetString(PyExc_TypeError, "a statement is bytes");
        return NULL;
    }
    if (!read_shape(PyBytes_AsString(sql), PyBytes_Size(sql), &shape))
        Py_RETURN_NONE;
    PyObject *literals = PyList_New(shape.count);
    for (int i = 0; literals != NULL && i < shape.count; i++) {
        PyObject *literal =
            PyBytes_FromStringAndSize(shape.literals[i].start, shape.literals[i].size);
        if (literal == NULL)
            Py_CLEAR(literals);
        else
            PyList_SetItem(literals, i, literal);
    }
    PyObject *text = PyBytes_FromStringAndSize(shape.text, shape.size);
    PyObject *both = text && literals ? PyTuple_Pack(2, text, literals) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(literals);
    return both;
}

static PyObject *
learn(PyObject *module, PyObject *arguments, PyObject *named)
{
    struct {
        char *name;
        PyObject **object;
    } told[] = {
        {"session", &session_type},       {"backend", &backend_type},
        {"scanner", &scanner_type},       {"lane", &lane_type},
        {"lanes", &lanes_type},           {"pool", &pool_type},
        {"transaction", &transaction_type}, {"beginning", &beginning_type},
        {"statement", &statement_type},   {"nothing_left", &nothing_left},
        {"begin", &plain_begin},          {"commit", &plain_commit},
        {"rollback", &plain_rollback},
        {"planner", &planner_type},       {"point", &point_type},
        {"one_shard", &one_shard_type},   {"wire", &wire_type},
        {"variant", &usual_variant},      {"at_once", &at_once},
    };
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        *told[i].object = Py_XNewRef(PyDict_GetItemString(named, told[i].name));
        if (*told[i].object == NULL)
            return PyErr_Format(PyExc_TypeError, "`%s` was not told", told[i].name);
    }
    PyObject *clock = PyDict_GetItemString(named, "clock");
    clock_dict = clock != NULL ? Py_XNewRef(PyModule_GetDict(clock)) : NULL;
    return clock_dict != NULL ? Py_NewRef(Py_None) : NULL;
}

static PyMethodDef functions[] = {
    {"shape_of", shape_of, METH_O, NULL},
    {"divide", divide, METH_VARARGS, NULL},
    {"learn", (PyCFunction)(void (*)(void))learn, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL}};

/* The type, which the module keeps; NULL with an error. */
static PyObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0)
        Py_CLEAR(type);
    Py_XDECREF(type);
    return type;
}

static int
add_names(void)
{
    struct {
        PyObject **name;
        const char *text;
    } all[] = {
        {&n_now, "now"},         {&n_flags, "flags"},     {&n_shard, "shard"},
        {&n_write, "write"},     {&n_take, "take"},       {&n_take_answer, "take_answer"},
        {&n_note_statement, "_note_statement"},
        {&n_route, "route"},     {&n_carry_out, "carry_out"},
        {&n_parameters, "parameters"}, {&n_common, "common"},
        {&n_statements, "statements"}, {&n_number, "number"},
        {&n_types, "types"},     {&n_was_used, "was_used"},
        {&n_resume_reading, "resume_reading"}, {&n_data_received, "data_received"},
        {&n_failed, "failed"},   {&n_autocommit, "autocommit"},
        {&n_get_write_buffer_size, "get_write_buffer_size"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if ((*all[i].name = PyUnicode_InternFromString(all[i].text)) == NULL)
            return -1;
    zero = PyLong_FromLong(0);
    one = PyLong_FromLong(1);
    two = PyLong_FromLong(2);
    no_bytes = PyBytes_FromStringAndSize(NULL, 0);
    /* OK, number 1: as Answers.send_ok inside a transaction */
    static const char ok[] = {7, 0, 0, 1, 0, 0, 0, STATUS_IN_TRANS | STATUS_AUTOCOMMIT, 0, 0, 0};
    begun_answer = PyBytes_FromStringAndSize(ok, sizeof ok);
    return zero && one && two && no_bytes && begun_answer ? 0 : -1;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_compiled", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__compiled(void)
{
    fill_crc_table();
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    watch_type = add_type(module, &watch_spec);
    if (add_names() < 0 || watch_type == NULL || !add_type(module, &wire_spec) ||
        !add_type(module, &session_spec) || !add_type(module, &backend_spec) ||
        !add_type(module, &scanner_spec) || !add_type(module, &lane_spec) ||
        !add_type(module, &lanes_spec) || !add_type(module, &pool_spec) ||
        !add_type(module, &point_spec) || !add_type(module, &planner_spec) ||
        !add_type(module, &branches_spec) || !add_type(module, &beginning_spec) ||
        !add_type(module, &statement_spec)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
