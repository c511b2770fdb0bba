/* The common case of the gate in C: one statement for one shard out, its answer back.

   Everything here has its twin in Python, which decides alone when anything at all is unusual:
   `forward` and `pass_on` look first and change nothing before they know that they can finish, and
   answer "not mine" otherwise. So the rules of a session are those of session/ and backends/, and a
   gate without this module does the same, only slower.

   The objects' attributes that are read for each statement lie in C structures, which the Python
   classes inherit (see plain.py for their names). Only the limited API of Python 3.11 is used, so
   one file serves this and all later versions. */

#ifndef MITOSIS_RELAY_H
#define MITOSIS_RELAY_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include <stdint.h>
#include <string.h>

#define LONGEST 8192 /* bytes of a statement that is looked at here */
#define MOST_LITERALS 64
#define MARK '\1' /* in place of a literal */
#define SAMPLE 63    /* as session.forwarding.SAMPLE */
#define STATUS_IN_TRANS 1
#define STATUS_AUTOCOMMIT 2
#define STATUS_CURSOR_EXISTS 0x40
#define STATUS_SESSION_STATE_CHANGED 0x4000
#define COM_QUERY 3
#define COM_STMT_EXECUTE 0x17
#define PARAMETER_COUNT_AVAILABLE 8 /* a flag of COM_STMT_EXECUTE */
#define MOST_PARAMETERS 250         /* so that their number is one byte */

/* attributes: the C name and the name in Python */

#define SESSION(F)                                                                                 \
    F(ACTIVE, "_active")                                                                           \
    F(TASK, "_task")                                                                               \
    F(HAS_INPUT, "_has_input")                                                                     \
    F(NAMES, "_names")                                                                             \
    F(LANES, "_lanes")                                                                             \
    F(PLANNER, "_planner")                                                                         \
    F(PLANNER_OF, "_planner_of")                                                                   \
    F(HOME, "_home")                                                                               \
    F(VARIANT, "_variant")                                                                         \
    F(CURRENT, "current")                                                                          \
    F(TRANSACTION, "_transaction")                                                                 \
    F(KEPT, "_kept")                                                                               \
    F(VARIABLES, "_variables")                                                                     \
    F(PACKET, "_packet")                                                                           \
    F(EXECUTION, "_execution")                                                                     \
    F(PREPARED, "_statements")                                                                     \
    F(BEGAN_AT, "began_at")                                                                        \
    F(LAST, "_last")                                                                               \
    F(FORWARDED, "_forwarded")                                                                     \
    F(SEQUENCE, "_sequence")                                                                       \
    F(STATEMENTS, "forwarded_statements")                                                          \
    F(STRIPS, "_strips")                                                                           \
    F(TRANSPORT, "_transport")                                                                     \
    F(RELAYED, "_relayed")                                                                         \
    F(PINS, "_pins")                                                                               \
    F(BLOCKED_AT, "write_blocked_at")                                                              \
    F(INSERT_ID, "last_insert_id")                                                                 \
    F(ROW_COUNT, "_row_count")                                                                     \
    F(COUNTED_AT, "_counted_at")                                                                   \
    F(ENDS_AFTER, "_ends_after")                                                                   \
    F(CONNECTION_ID, "connection_id")                                                              \
    F(ANSWERED, "_answered")                                                                       \
    F(LEFT, "_left")                                                                               \
    F(LEFT_AT, "_left_at")                                                                         \
    F(MESSAGES, "_messages")                                                                       \
    F(HELD, "_held")

#define BACKEND(F)                                                                                 \
    F(SINK, "_sink")                                                                               \
    F(SCANNER, "scanner")                                                                          \
    F(IN_TRANSACTION, "in_transaction")                                                            \
    F(AUTOCOMMIT, "autocommit")                                                                    \
    F(OWNER, "owner")                                                                              \
    F(ALIVE, "alive")                                                                              \
    F(IS_IDLE, "is_idle")                                                                          \
    F(OBSOLETE, "obsolete")                                                                        \
    F(IS_FOREIGN, "is_foreign")                                                                    \
    F(APPLIED, "applied")                                                                          \
    F(IDLE_SINCE, "idle_since")                                                                    \
    F(LAST_USER, "last_user")                                                                      \
    F(DRAINING, "draining")                                                                        \
    F(TRANSACTION_STATE, "transaction_state")                                                      \
    F(TRANSPORT, "_transport")

#define SCANNER(F)                                                                                 \
    F(HELD, "_held")                                                                               \
    F(SKIP, "_skip")                                                                               \
    F(EXPECT, "expect")                                                                            \
    F(KEEPS_EOF, "keeps_eof")                                                                      \
    F(STATUS, "status")                                                                            \
    F(WARNINGS, "warnings")                                                                        \
    F(ERROR, "error")                                                                              \
    F(LAST, "last")                                                                                \
    F(DONE, "done")                                                                                \
    F(STRIPS, "strips")

#define LANE(F)                                                                                    \
    F(IDLE, "idle")                                                                                \
    F(POOL, "pool")

#define LANES(F)                                                                                   \
    F(CURRENT, "current")                                                                          \
    F(LANES, "lanes")

#define POOL(F)                                                                                    \
    F(WAITING, "waiting")                                                                          \
    F(NOW, "now")

#define POINT(F)                                                                                   \
    F(INDEX, "index")                                                                              \
    F(PLANS, "_plans")                                                                             \
    F(MASK, "_mask")                                                                               \
    F(DIGITS, "_digits")                                                                           \
    F(CHARACTERS, "_characters")

#define PLANNER(F) F(SHAPES, "shapes")

#define STATEMENT(F)                                                                               \
    F(SQL, "sql")                                                                                  \
    F(PLANNER, "planner")                                                                          \
    F(PLANNED, "planned")                                                                          \
    F(TYPES, "types")                                                                              \
    F(LONG_DATA, "long_data")                                                                      \
    F(PROBLEM, "problem")                                                                          \
    F(CURSOR, "cursor")                                                                            \
    F(KEY, "key")

#define BRANCHES(F)                                                                                \
    F(WAITS, "waits")                                                                              \
    F(BOUND, "bound")                                                                              \
    F(JOINED, "_joined")                                                                           \
    F(BEGIN, "_begin")                                                                             \
    F(READ_ONLY, "_read_only")                                                                     \
    F(SAVEPOINTS, "_savepoints")                                                                   \
    F(NEXT, "_next")                                                                               \
    F(OWN, "_own")                                                                                 \
    F(IS_TRACKED, "_is_tracked")                                                                   \
    F(LOST, "_lost")                                                                               \
    F(ROLLING, "_rolling")

#define BEGINNING(F)                                                                               \
    F(SESSION, "session")                                                                          \
    F(PACKET, "packet")                                                                            \
    F(EXPECT, "expect")

#define SESSION_FIELD(name, text) S_##name,
#define BACKEND_FIELD(name, text) B_##name,
#define SCANNER_FIELD(name, text) C_##name,
#define LANE_FIELD(name, text) L_##name,
#define BRANCHES_FIELD(name, text) T_##name,
#define BEGINNING_FIELD(name, text) G_##name,
#define STATEMENT_FIELD(name, text) P_##name,
#define LANES_FIELD(name, text) N_##name,
#define POOL_FIELD(name, text) O_##name,
#define POINT_FIELD(name, text) K_##name,
#define PLANNER_FIELD(name, text) R_##name,
enum { SESSION(SESSION_FIELD) S_COUNT };
enum { BACKEND(BACKEND_FIELD) B_COUNT };
enum { SCANNER(SCANNER_FIELD) C_COUNT };
enum { LANE(LANE_FIELD) L_COUNT };
enum { BRANCHES(BRANCHES_FIELD) T_COUNT };
enum { BEGINNING(BEGINNING_FIELD) G_COUNT };
enum { STATEMENT(STATEMENT_FIELD) P_COUNT };
enum { LANES(LANES_FIELD) N_COUNT };
enum { POOL(POOL_FIELD) O_COUNT };
enum { POINT(POINT_FIELD) K_COUNT };
enum { PLANNER(PLANNER_FIELD) R_COUNT };

/* One structure for all of them: the number of fields is what their types differ in. */
typedef struct {
    PyObject_HEAD
    PyObject *at[1];
} State;

#define AT(object, field) (((State *)(object))->at[field])

/* What `learn` was told, and names. The module lives as long as the process. */

extern PyObject *session_type, *backend_type, *scanner_type, *lane_type, *lanes_type, *pool_type,
    *transaction_type, *beginning_type, *statement_type, *planner_type, *point_type,
    *one_shard_type, *wire_type, *watch_type, *usual_variant, *at_once, *clock_dict, *plain_begin,
    *plain_commit, *plain_rollback, *nothing_left;
extern PyObject *zero, *one, *two, *no_bytes, *begun_answer;
extern PyObject *n_now, *n_flags, *n_shard, *n_write, *n_note_statement,
    *n_take, *n_take_answer, *n_route, *n_carry_out, *n_parameters,
    *n_common, *n_statements, *n_number, *n_types, *n_was_used, *n_resume_reading,
    *n_data_received, *n_failed, *n_get_write_buffer_size, *n_autocommit;

static inline void
put(PyObject *object, int field, PyObject *value)
{
    PyObject *old = AT(object, field);
    AT(object, field) = Py_NewRef(value);
    Py_XDECREF(old);
}

static inline int
is_a(PyObject *object, PyObject *type)
{
    return (PyObject *)Py_TYPE(object) == type;
}

static inline int
is_falsy(PyObject *value)
{
    return PyObject_IsTrue(value) == 0;
}

/* The number in an attribute; -1 when it is none, or out of the range that is possible here. */
static inline Py_ssize_t
number_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    Py_ssize_t number = value != NULL ? PyLong_AsSsize_t(value) : -1;
    Py_XDECREF(value);
    return number;
}

static inline Py_ssize_t
number_at(PyObject *object, int field)
{
    return PyLong_AsSsize_t(AT(object, field));
}

/* _wire.c */

extern PyType_Spec wire_spec, watch_spec;
int is_wire(PyObject *transport);
int send_now(PyObject *transport, PyObject *data);

static inline int
write_to(PyObject *transport, PyObject *data)
{
    if (is_wire(transport))
        return send_now(transport, data);
    PyObject *nothing = PyObject_CallMethodObjArgs(transport, n_write, data, NULL);
    Py_XDECREF(nothing);
    return nothing != NULL ? 1 : -1;
}

/* The shape of a plain statement: its text with a mark in place of each literal, and these. */
typedef struct {
    Py_ssize_t size;
    int count;
    struct {
        const char *start;
        Py_ssize_t size;
    } literals[MOST_LITERALS];
    char text[LONGEST];
} Shape;

/* _plans.c */

/* The shape of a plain statement; 0: it is none. */
int read_shape(const char *at, Py_ssize_t size, Shape *shape);
PyObject *plan_by_shape(PyObject *planner, const char *sql, Py_ssize_t size);
PyObject *plan_at(PyObject *point, const char *digits, Py_ssize_t count);
int is_at_once(PyObject *plan);
void fill_crc_table(void);
uint32_t crc32_of(const unsigned char *bytes, Py_ssize_t size);

/* _rows.c */

PyObject *divide(PyObject *module, PyObject *arguments);

/* How an answer ended that came whole and has nothing unusual to tell. */
typedef struct {
    int status;         /* -1: it is another one */
    Py_ssize_t ok_size; /* of the payload of an OK; 0: there were rows */
    int affected, insert_id;
    const unsigned char *transaction_state; /* when it says that; eight characters */
} Ending;

/* _forward.c */

PyObject *lane_of(PyObject *self, PyObject *plan);
PyObject *connection_for(PyObject *self, PyObject *lane);
int send_on(PyObject *self, PyObject *lane, PyObject *connection, PyObject *data,
            PyObject *execution);
int note_command(PyObject *self, PyObject *data, PyObject *execution);
int start(PyObject *self, PyObject *connection, PyObject *sink, PyObject *data);
int start_on(PyObject *self, PyObject *connection, PyObject *data);
int forward(PyObject *self, PyObject *data);

/* _transactions.c */

int may_begin(PyObject *transaction, PyObject *connection);
int begin_on(PyObject *self, PyObject *connection, PyObject *data);
int control(PyObject *self, PyObject *plan, const char *sql, Py_ssize_t size, PyObject *data);
int begun(PyObject *connection, PyObject *beginning, PyObject *data);

/* _execute.c */

int execute(PyObject *self, PyObject *planner, PyObject *data);

/* _answers.c */

Ending ending_of(PyObject *scanner, PyObject *data);
int note_end(PyObject *connection, PyObject *data, Ending ending);
int pass_on(PyObject *self, PyObject *data);

/* _module.c: as the methods of these names */

PyObject *session_data_received(PyObject *self, PyObject *data);
PyObject *backend_data_received(PyObject *self, PyObject *data);

#endif
