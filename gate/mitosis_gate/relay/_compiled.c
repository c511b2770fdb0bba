/* The common case of the gate in C: one statement for one shard out, its answer back.

   Everything here has its twin in Python, which decides alone when anything at all is unusual:
   `forward` and `pass_on` look first and change nothing before they know that they can finish, and
   answer "not mine" otherwise. So the rules of a session are those of session/ and backends/, and a
   gate without this module does the same, only slower.

   The objects' attributes that are read for each statement lie in C structures, which the Python
   classes inherit (see plain.py for their names). Only the limited API of Python 3.11 is used, so
   one file serves this and all later versions. */

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
    F(SERVICES, "_services")                                                                       \
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
    F(CONNECTION_ID, "connection_id")

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
    F(JOINED, "_joined")

#define SESSION_FIELD(name, text) S_##name,
#define BACKEND_FIELD(name, text) B_##name,
#define SCANNER_FIELD(name, text) C_##name,
#define LANE_FIELD(name, text) L_##name,
#define BRANCHES_FIELD(name, text) T_##name,
#define STATEMENT_FIELD(name, text) P_##name,
enum { SESSION(SESSION_FIELD) S_COUNT };
enum { BACKEND(BACKEND_FIELD) B_COUNT };
enum { SCANNER(SCANNER_FIELD) C_COUNT };
enum { LANE(LANE_FIELD) L_COUNT };
enum { BRANCHES(BRANCHES_FIELD) T_COUNT };
enum { STATEMENT(STATEMENT_FIELD) P_COUNT };

/* One structure for all of them: the number of fields is what their types differ in. */
typedef struct {
    PyObject_HEAD
    PyObject *at[1];
} State;

#define AT(object, field) (((State *)(object))->at[field])
#define FIELD_MEMBER(prefix, name, text)                                                           \
    {text, T_OBJECT_EX, offsetof(State, at) + prefix##_##name * sizeof(PyObject *), 0, NULL},
#define SESSION_MEMBER(name, text) FIELD_MEMBER(S, name, text)
#define BACKEND_MEMBER(name, text) FIELD_MEMBER(B, name, text)
#define SCANNER_MEMBER(name, text) FIELD_MEMBER(C, name, text)
#define LANE_MEMBER(name, text) FIELD_MEMBER(L, name, text)
#define BRANCHES_MEMBER(name, text) FIELD_MEMBER(T, name, text)
#define STATEMENT_MEMBER(name, text) FIELD_MEMBER(P, name, text)
static PyMemberDef session_members[] = {SESSION(SESSION_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef backend_members[] = {BACKEND(BACKEND_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef scanner_members[] = {SCANNER(SCANNER_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef lane_members[] = {LANE(LANE_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef branches_members[] = {BRANCHES(BRANCHES_MEMBER){NULL, 0, 0, 0, NULL}};
static PyMemberDef statement_members[] = {STATEMENT(STATEMENT_MEMBER){NULL, 0, 0, 0, NULL}};

/* What `learn` was told, and names. The module lives as long as the process. */

static PyObject *session_type, *backend_type, *scanner_type, *lane_type, *transaction_type,
    *statement_type, *point_type, *one_shard_type, *usual_variant, *at_once, *clock_dict;
static PyObject *zero, *one, *no_bytes, *usual_status, *transaction_status;
static PyObject *n_now, *n_current, *n_lanes, *n_planners, *n_planner, *n_shapes, *n_index, *n_characters, *n_digits,
    *n_plans, *n_mask, *n_flags, *n_shard, *n_write, *n_waiting, *n_note_statement, *n_take,
    *n_take_answer, *n_route, *n_carry_out, *n_parameters, *n_common, *n_statements, *n_number,
    *n_types, *n_was_used;
static uint32_t crc_table[256];

static uint32_t
crc32_of(const unsigned char *bytes, Py_ssize_t size)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (Py_ssize_t i = 0; i < size; i++)
        crc = crc_table[(crc ^ bytes[i]) & 0xFF] ^ (crc >> 8);
    return crc ^ 0xFFFFFFFFu;
}

static void
put(PyObject *object, int field, PyObject *value)
{
    PyObject *old = AT(object, field);
    AT(object, field) = Py_NewRef(value);
    Py_XDECREF(old);
}

static int
is_a(PyObject *object, PyObject *type)
{
    return (PyObject *)Py_TYPE(object) == type;
}

static int
is_falsy(PyObject *value)
{
    return PyObject_IsTrue(value) == 0;
}

/* The number in an attribute; -1 when it is none, or out of the range that is possible here. */
static Py_ssize_t
number_of(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    Py_ssize_t number = value != NULL ? PyLong_AsSsize_t(value) : -1;
    Py_XDECREF(value);
    return number;
}

static int
write_to(PyObject *transport, PyObject *data)
{
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

static int
is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$';
}

static int
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Where the name that begins at `at` ends, with its qualifiers; NULL: it is not a plain one. */
static const char *
end_of_name(const char *at, const char *end)
{
    while (at < end && is_name(*at))
        at++;
    if (at < end && *at == '.') {
        if (at + 1 == end || is_digit(at[1]) || !(is_name(at[1]) || at[1] == '*' || at[1] == '`'))
            return NULL;
        return at[1] == '*' || at[1] == '`' ? at + 1 : end_of_name(at + 1, end);
    }
    if (at < end && (*at == '\'' || *at == '@' || (unsigned char)*at >= 0x80))
        return NULL; /* an introducer, or no plain name */
    return at;
}

/* Where the literal or name in quotes ends; NULL: it holds what must be read with care. */
static const char *
end_of_quoted(const char *at, const char *end)
{
    char quote = *at++;
    while (at < end && *at != quote && *at != '\\' && *at != 0)
        at++;
    if (at == end || *at != quote || (at + 1 < end && at[1] == quote))
        return NULL;
    return at + 1;
}

static const char *
end_of_number(const char *at, const char *end)
{
    while (at < end && is_digit(*at))
        at++;
    if (at < end && (is_name(*at) || *at == '.' || *at == '@' || *at == '\'' ||
                     (unsigned char)*at >= 0x80))
        return NULL;
    return at;
}

/* Whether the statement is plain: names, whole numbers, texts in single quotes and a few signs, so
   that planner.lexer cuts it at the same places whatever the literals are. Lists behind IN are cut
   otherwise there; whoever remembers a plan by a shape compares the literals first. */
static int
read_shape(const char *at, Py_ssize_t size, Shape *shape)
{
    static const char signs[] = " \t\n=<>(),*+;%!";
    const char *end = at + size;
    shape->size = shape->count = 0;
    if (size > LONGEST)
        return 0;
    while (at < end) {
        const char *next = at + 1;
        int is_literal = is_digit(*at) || *at == '\'';
        if (is_digit(*at))
            next = end_of_number(at, end);
        else if (*at == '\'' || *at == '`')
            next = end_of_quoted(at, end);
        else if (is_name(*at))
            next = end_of_name(at, end);
        else if (*at == '-') {
            if (next == end || *next == '-')
                return 0;
        }
        else if (*at == 0 || strchr(signs, *at) == NULL)
            return 0;
        if (next == NULL || (*at == '`' && next < end && (*next == '.' || *next == '\'')))
            return 0;
        if (is_literal) {
            if (shape->count == MOST_LITERALS)
                return 0;
            shape->literals[shape->count].start = at;
            shape->literals[shape->count++].size = next - at;
            shape->text[shape->size++] = MARK;
        }
        else {
            memcpy(shape->text + shape->size, at, next - at);
            shape->size += next - at;
        }
        at = next;
    }
    return 1;
}

/* The plan of the slot that a key has, a new reference. */
static PyObject *
plan_of_key(PyObject *point, const char *key, Py_ssize_t size)
{
    Py_ssize_t mask = number_of(point, n_mask);
    PyObject *plans = PyObject_GetAttr(point, n_plans);
    PyObject *plan = NULL;
    if (mask >= 0 && plans != NULL)
        plan = PyTuple_GetItem(plans, crc32_of((const unsigned char *)key, size) & mask);
    Py_XINCREF(plan);
    Py_XDECREF(plans);
    return plan;
}

/* As Point.of_number: a new reference to the plan; NULL without an error when the digits are no
   plain number of the column. */
static PyObject *
plan_at(PyObject *point, const char *digits, Py_ssize_t count)
{
    if (digits[0] == '0' || count >= number_of(point, n_digits))
        return NULL;
    return plan_of_key(point, digits, count);
}

/* The same for a text with its quotes, as Point.bind. */
static PyObject *
plan_at_text(PyObject *point, const char *text, Py_ssize_t size)
{
    if (size > number_of(point, n_characters) || text[size - 2] == ' ')
        return NULL;
    for (Py_ssize_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80)
            return NULL;
    return plan_of_key(point, text + 1, size - 2);
}

/* The plan of a plain statement whose shape is known, a new reference; else NULL without an
   error. */
static PyObject *
plan_by_shape(PyObject *planner, const char *sql, Py_ssize_t size)
{
    Shape shape;
    if (!read_shape(sql, size, &shape))
        return NULL;
    PyObject *plan = NULL;
    PyObject *text = PyBytes_FromStringAndSize(shape.text, shape.size);
    PyObject *shapes = PyObject_GetAttr(planner, n_shapes);
    PyObject *known = NULL;
    if (text != NULL && shapes != NULL)
        known = PyDict_GetItemWithError(shapes, text);
    if (known != NULL && is_a(known, one_shard_type))
        plan = Py_NewRef(known);
    else if (known != NULL && is_a(known, point_type)) {
        Py_ssize_t index = number_of(known, n_index);
        if (index >= 0 && index < shape.count) {
            const char *start = shape.literals[index].start;
            Py_ssize_t its_size = shape.literals[index].size;
            plan = *start == '\'' ? plan_at_text(known, start, its_size)
                                  : plan_at(known, start, its_size);
        }
    }
    Py_XDECREF(text);
    Py_XDECREF(shapes);
    return plan;
}

/* Whether the plan is for one shard and needs no task. */
static int
is_at_once(PyObject *plan)
{
    if (!is_a(plan, one_shard_type))
        return 0;
    PyObject *flags = PyObject_GetAttr(plan, n_flags);
    PyObject *answer = flags != NULL ? PyObject_GetItem(at_once, flags) : NULL;
    Py_XDECREF(flags);
    Py_XDECREF(answer);
    return answer == Py_True;
}

/* The planner in force, a new reference; NULL without an error when it is another one. */
static PyObject *
planner_in_force(PyObject *self)
{
    PyObject *planners = PyObject_GetAttr(AT(self, S_SERVICES), n_planners);
    if (planners == NULL)
        return NULL;
    PyObject *planner = PyObject_CallMethodObjArgs(planners, n_planner, AT(self, S_HOME), NULL);
    Py_DECREF(planners);
    if (planner == NULL || (planner != Py_None && planner == AT(self, S_PLANNER)))
        return planner;
    Py_DECREF(planner);
    return NULL;
}

/* The lane of the shard that a plan names, a new reference; NULL without an error when there is no
   connection to have at once. */
static PyObject *
lane_of(PyObject *self, PyObject *plan)
{
    Py_ssize_t shard = number_of(plan, n_shard);
    PyObject *lanes = PyObject_GetAttr(AT(self, S_LANES), n_lanes);
    PyObject *lane = NULL;
    if (lanes != NULL && shard >= 0)
        lane = PyTuple_GetItem(lanes, shard);
    if (lane != NULL && !is_a(lane, lane_type))
        lane = NULL;
    Py_XINCREF(lane);
    Py_XDECREF(lanes);
    return lane;
}

/* The connection that a statement may take at once, borrowed; NULL: none. */
static PyObject *
connection_for(PyObject *self, PyObject *lane)
{
    PyObject *transaction = AT(self, S_TRANSACTION);
    if (!is_a(transaction, transaction_type) || AT(transaction, T_WAITS) != Py_False)
        return NULL;
    PyObject *connection = AT(transaction, T_BOUND);
    if (connection == Py_None) {
        PyObject *idle = AT(lane, L_IDLE);
        Py_ssize_t count = PyList_Size(idle);
        if (AT(self, S_KEPT) != Py_None || count < 1)
            return NULL;
        connection = PyList_GetItem(idle, count - 1);
    }
    if (connection == NULL || !is_a(connection, backend_type) ||
        AT(connection, B_OWNER) != lane || AT(connection, B_ALIVE) != Py_True ||
        AT(connection, B_OBSOLETE) != Py_False ||
        AT(connection, B_APPLIED) != AT(self, S_VARIABLES) ||
        AT(connection, B_TRANSPORT) == Py_None || !is_a(AT(connection, B_SCANNER), scanner_type))
        return NULL;
    return connection;
}

/* Send a command on a connection that `connection_for` gave; what it says about itself goes into
   `_packet` and, of an execution, `_execution`. */
static int
send_on(PyObject *self, PyObject *lane, PyObject *connection, PyObject *data, PyObject *execution)
{
    PyObject *now = PyDict_GetItemWithError(clock_dict, n_now);
    PyObject *statements = PyLong_FromLong(PyLong_AsLong(AT(self, S_STATEMENTS)) + 1);
    if (now == NULL || statements == NULL) {
        Py_XDECREF(statements);
        return PyErr_Occurred() ? -1 : 0;
    }
    put(self, S_STATEMENTS, statements);
    Py_DECREF(statements);
    if (AT(AT(self, S_TRANSACTION), T_BOUND) == Py_None) {
        PyObject *idle = AT(lane, L_IDLE);
        Py_ssize_t count = PyList_Size(idle);
        if (PyList_SetSlice(idle, count - 1, count, NULL) < 0)
            return -1;
        put(connection, B_IS_IDLE, Py_False);
    }
    put(self, S_PACKET, execution != NULL ? no_bytes : data);
    if (execution != NULL)
        put(self, S_EXECUTION, execution);
    put(self, S_BEGAN_AT, now);
    put(self, S_ACTIVE, connection);
    put(self, S_LAST, connection);
    put(self, S_FORWARDED, Py_False);
    put(self, S_SEQUENCE, one);
    put(connection, B_LAST_USER, AT(self, S_CONNECTION_ID));
    put(connection, B_SINK, self);
    PyObject *scanner = AT(connection, B_SCANNER);
    put(scanner, C_EXPECT, zero);
    put(scanner, C_STRIPS, AT(self, S_STRIPS));
    put(scanner, C_DONE, Py_False);
    return write_to(AT(connection, B_TRANSPORT), data);
}

/* Send it if the right connection is there and ready: 1; 0: nothing was done; -1: error. */
static int
send_planned(PyObject *self, PyObject *plan, PyObject *data)
{
    if (!is_at_once(plan))
        return PyErr_Occurred() ? -1 : 0;
    PyObject *lane = lane_of(self, plan);
    if (lane == NULL)
        return PyErr_Occurred() ? -1 : 0;
    int done = 0;
    PyObject *connection = connection_for(self, lane);
    if (connection != NULL) {
        Py_INCREF(connection);
        done = send_on(self, lane, connection, data, NULL);
        Py_DECREF(connection);
    }
    Py_DECREF(lane);
    return PyErr_Occurred() ? -1 : done;
}

/* Plan it as every other statement is; then send it, or leave what to do with the plan to
   Session.carry_out. */
static int
route_and_send(PyObject *self, PyObject *planner, PyObject *data, Py_ssize_t at)
{
    int done = -1;
    PyObject *plan = NULL;
    PyObject *sql = PyBytes_FromStringAndSize(PyBytes_AsString(data) + at, PyBytes_Size(data) - at);
    if (sql != NULL)
        plan = PyObject_CallMethodObjArgs(planner, n_route, sql, usual_variant, NULL);
    if (plan != NULL)
        done = send_planned(self, plan, data);
    if (done == 0) {
        PyObject *nothing = PyObject_CallMethodObjArgs(self, n_carry_out, plan, sql, data, NULL);
        Py_XDECREF(nothing);
        done = nothing != NULL ? 1 : -1;
    }
    Py_XDECREF(plan);
    Py_XDECREF(sql);
    return done;
}

/* A framed COM_STMT_EXECUTE, cut into what is looked at. */
typedef struct {
    Py_ssize_t parameters;
    const unsigned char *nulls; /* a bit for each parameter */
    const unsigned char *types; /* NULL: not sent this time */
    Py_ssize_t types_size;
    const unsigned char *values, *end;
} Execution;

/* Whether it is whole and has nothing unusual; `names`: CLIENT_QUERY_ATTRIBUTES was agreed. */
static int
read_execution(const unsigned char *bytes, Py_ssize_t size, Py_ssize_t parameters, int names,
               Execution *found)
{
    const unsigned char *at = bytes + 14, *end = bytes + size;
    int flags = bytes[9];
    memset(found, 0, sizeof *found);
    found->parameters = parameters;
    found->end = found->values = end;
    if (size < 14 || (flags != 0 && flags != PARAMETER_COUNT_AVAILABLE) ||
        parameters > MOST_PARAMETERS)
        return 0;
    if (names && (parameters > 0 || flags)) {
        if (at >= end || *at != parameters)
            return 0; /* it has attributes */
        at++;
    }
    if (parameters == 0)
        return at == end;
    found->nulls = at;
    at += (parameters + 7) / 8;
    if (at >= end || *at > 1)
        return 0;
    if (*at++ == 1) {
        found->types = at;
        for (Py_ssize_t i = 0; i < parameters; i++) {
            at += 2;
            if (names) {
                if (at >= end || *at > 250)
                    return 0;
                at += 1 + *at;
            }
        }
        if (at > end)
            return 0;
        found->types_size = at - found->types;
    }
    found->values = at;
    return 1;
}

/* The bytes of the first type of a block, and whether a value of it is a whole number of that many
   bytes: 0 when it is not. */
static int
bytes_of_number(const unsigned char *types, Py_ssize_t size)
{
    if (size < 2)
        return 0;
    switch (types[0]) {
    case 1:
        return 1; /* TINYINT */
    case 2:
        return 2; /* SMALLINT */
    case 3:
        return 4; /* INT */
    case 8:
        return 8; /* BIGINT */
    default:
        return 0;
    }
}

/* The plan of an execution whose first parameter is the key, a positive whole number; else as
   `plan_at`. */
static PyObject *
plan_of_number(PyObject *point, const Execution *execution, const unsigned char *types,
               Py_ssize_t types_size)
{
    int size = bytes_of_number(types, types_size);
    if (size == 0 || execution->nulls[0] & 1 || execution->values + size > execution->end)
        return NULL;
    uint64_t number = 0;
    for (int i = 0; i < size; i++)
        number |= (uint64_t)execution->values[i] << 8 * i;
    int is_unsigned = types[1] & 0x80;
    if (number == 0 || (!is_unsigned && number >> (8 * size - 1)))
        return NULL;
    char digits[20];
    int at = sizeof digits;
    for (; number != 0; number /= 10)
        digits[--at] = '0' + number % 10;
    return plan_at(point, digits + at, sizeof digits - at);
}

/* The plan of an execution, a new reference; NULL without an error when the rule is not one of the
   common ones. See PreparedStatement.common. */
static PyObject *
plan_of_execution(PyObject *planned, const Execution *execution, const unsigned char *types,
                  Py_ssize_t types_size)
{
    PyObject *common = PyObject_GetAttr(planned, n_common);
    if (common == NULL || is_a(common, one_shard_type))
        return common;
    PyObject *plan = NULL;
    if (is_a(common, point_type) && execution->parameters > 0)
        plan = plan_of_number(common, execution, types, types_size);
    Py_DECREF(common);
    return plan;
}

/* The statement on that connection, a new reference; NULL without an error when it was not
   prepared there. */
static PyObject *
prepared_on(PyObject *self, PyObject *statement, PyObject *connection)
{
    PyObject *key = AT(statement, P_KEY);
    if (key == Py_None || PyTuple_GetItem(key, 1) != AT(self, S_VARIABLES)) {
        key = PyTuple_Pack(2, AT(statement, P_SQL), AT(self, S_VARIABLES));
        if (key == NULL)
            return NULL;
        put(statement, P_KEY, key);
        Py_DECREF(key);
    }
    PyObject *statements = PyObject_GetAttr(connection, n_statements);
    PyObject *here = statements != NULL ? PyDict_GetItemWithError(statements, key) : NULL;
    Py_XINCREF(here);
    Py_XDECREF(statements);
    return here;
}

/* Send the execution as it came but for the number of the statement: 1; 0: nothing was done. */
static int
send_execution(PyObject *self, PyObject *statement, PyObject *plan, PyObject *data,
               PyObject *types, int has_types)
{
    if (!is_at_once(plan))
        return 0;
    int done = 0;
    PyObject *known = NULL, *number = NULL, *here = NULL, *packet = NULL, *execution = NULL;
    PyObject *lane = lane_of(self, plan);
    PyObject *connection = lane != NULL ? connection_for(self, lane) : NULL;
    Py_XINCREF(connection);
    if (connection != NULL)
        here = prepared_on(self, statement, connection);
    if (here == NULL)
        goto end;
    known = PyObject_GetAttr(here, n_types);
    number = PyObject_GetAttr(here, n_number);
    if (known == NULL || number == NULL)
        goto end;
    int same = known == types || PyObject_RichCompareBool(known, types, Py_EQ);
    if (same < 0 || (!same && !has_types))
        goto end;
    Py_ssize_t size = PyBytes_Size(data);
    unsigned long its_number = PyLong_AsUnsignedLong(number);
    packet = PyBytes_FromStringAndSize(PyBytes_AsString(data), size);
    execution = PyBytes_FromStringAndSize(PyBytes_AsString(data) + 4, size - 4);
    if (packet == NULL || execution == NULL || PyErr_Occurred())
        goto end;
    for (int i = 0; i < 4; i++)
        PyBytes_AsString(packet)[5 + i] = (char)(its_number >> 8 * i);
    if (PyObject_SetAttr(here, n_was_used, Py_True) < 0 ||
        (!same && PyObject_SetAttr(here, n_types, types) < 0))
        goto end;
    put(statement, P_TYPES, types);
    done = send_on(self, lane, connection, packet, execution);
end:
    Py_XDECREF(lane);
    Py_XDECREF(connection);
    Py_XDECREF(here);
    Py_XDECREF(known);
    Py_XDECREF(number);
    Py_XDECREF(packet);
    Py_XDECREF(execution);
    return done;
}

/* As `forward`, for an execution of a prepared statement by a session that is ready. */
static int
execute(PyObject *self, PyObject *planner, PyObject *data)
{
    const unsigned char *bytes = (const unsigned char *)PyBytes_AsString(data);
    Py_ssize_t size = PyBytes_Size(data);
    if (size < 14)
        return 0;
    PyObject *number = PyLong_FromUnsignedLong(bytes[5] | bytes[6] << 8 | bytes[7] << 16 |
                                               (unsigned long)bytes[8] << 24);
    if (number == NULL)
        return -1;
    PyObject *statement = PyDict_GetItemWithError(AT(self, S_PREPARED), number);
    Py_DECREF(number);
    if (statement == NULL || !is_a(statement, statement_type) ||
        AT(statement, P_PLANNER) != planner || AT(statement, P_PROBLEM) != Py_None ||
        AT(statement, P_CURSOR) != Py_None || !is_falsy(AT(statement, P_LONG_DATA)))
        return 0;
    PyObject *planned = AT(statement, P_PLANNED);
    Py_ssize_t parameters = number_of(planned, n_parameters);
    Execution execution;
    if (parameters < 0 || !read_execution(bytes, size, parameters, AT(self, S_NAMES) == Py_True,
                                          &execution))
        return 0;
    PyObject *types = AT(statement, P_TYPES);
    if (execution.types != NULL)
        types = PyBytes_FromStringAndSize((const char *)execution.types, execution.types_size);
    else if (parameters == 0)
        types = Py_NewRef(no_bytes);
    else if (PyBytes_CheckExact(types))
        Py_INCREF(types);
    else
        return 0; /* they were never sent */
    if (types == NULL)
        return -1;
    int done = 0;
    PyObject *plan =
        plan_of_execution(planned, &execution, (const unsigned char *)PyBytes_AsString(types),
                          PyBytes_Size(types));
    if (plan != NULL) {
        Py_INCREF(statement);
        done = send_execution(self, statement, plan, data, types, execution.types != NULL);
        Py_DECREF(statement);
        Py_DECREF(plan);
    }
    Py_DECREF(types);
    return done;
}

/* Whether nothing stands in the way of the next command: 1, 0, or -1 for an error. */
static int
is_ready(PyObject *self)
{
    if (AT(self, S_ACTIVE) != Py_None || AT(self, S_TASK) != Py_None ||
        AT(self, S_HAS_INPUT) != Py_False || AT(self, S_VARIANT) != usual_variant ||
        AT(self, S_LANES) == Py_None || !is_falsy(AT(self, S_BLOCKED_AT)) ||
        is_falsy(AT(self, S_CURRENT)))
        return 0;
    PyObject *fresh = PyObject_GetAttr(AT(self, S_LANES), n_current);
    Py_XDECREF(fresh);
    return fresh == NULL ? -1 : fresh == Py_True;
}

/* Where the text of a framed COM_QUERY begins; 0: it has attributes. */
static Py_ssize_t
text_at(PyObject *self, const unsigned char *bytes, Py_ssize_t size)
{
    if (AT(self, S_NAMES) != Py_True)
        return 5;
    return size >= 8 && bytes[5] == 0 && bytes[6] == 1 ? 7 : 0;
}

static int
query(PyObject *self, PyObject *planner, PyObject *data)
{
    Py_ssize_t size = PyBytes_Size(data);
    const char *bytes = PyBytes_AsString(data);
    Py_ssize_t at = text_at(self, (const unsigned char *)bytes, size);
    if (at == 0)
        return 0;
    PyObject *plan = plan_by_shape(planner, bytes + at, size - at);
    if (plan == NULL)
        return PyErr_Occurred() ? -1 : route_and_send(self, planner, data, at);
    int done = send_planned(self, plan, data);
    Py_DECREF(plan);
    return done;
}

/* 1: done; 0: not a case for this module, and nothing was done; -1: an error is set. */
static int
forward(PyObject *self, PyObject *data)
{
    if (!is_a(self, session_type) || !PyBytes_CheckExact(data))
        return 0;
    Py_ssize_t size = PyBytes_Size(data);
    const unsigned char *bytes = (const unsigned char *)PyBytes_AsString(data);
    if (size < 6 || size > LONGEST || bytes[3] != 0 ||
        (bytes[4] != COM_QUERY && bytes[4] != COM_STMT_EXECUTE) ||
        (bytes[0] | bytes[1] << 8 | bytes[2] << 16) != size - 4)
        return 0;
    int done = is_ready(self);
    if (done < 1)
        return done;
    PyObject *planner = planner_in_force(self);
    if (planner == NULL)
        return PyErr_Occurred() ? -1 : 0;
    done = bytes[4] == COM_QUERY ? query(self, planner, data) : execute(self, planner, data);
    Py_DECREF(planner);
    return PyErr_Occurred() ? -1 : done;
}

/* How an answer ended that came whole and has nothing unusual to tell. */
typedef struct {
    int status;           /* -1: it is another one */
    Py_ssize_t ok_size;   /* of the payload of an OK; 0: there were rows */
    int affected, insert_id;
} Ending;

/* One OK packet, with small numbers and without warnings. */
static void
read_ok(const unsigned char *bytes, Py_ssize_t size, Ending *ending)
{
    Py_ssize_t length = bytes[0] | bytes[1] << 8 | bytes[2] << 16;
    if (size < 11 || length + 4 != size || bytes[5] > 250 || bytes[6] > 250 ||
        bytes[9] != 0 || bytes[10] != 0)
        return;
    ending->status = bytes[7] | bytes[8] << 8;
    ending->ok_size = length;
    ending->affected = bytes[5];
    ending->insert_id = bytes[6];
}

/* Where the packet at `at` ends; 0: it is not whole, or goes on in the next one. */
static Py_ssize_t
end_of_packet(const unsigned char *bytes, Py_ssize_t size, Py_ssize_t at)
{
    if (at + 4 >= size)
        return 0;
    Py_ssize_t length = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16;
    Py_ssize_t end = at + 4 + length;
    return length == 0xFFFFFF || length == 0 || end > size ? 0 : end;
}

/* Where the rows begin; 0: they do not. */
static Py_ssize_t
end_of_columns(const unsigned char *bytes, Py_ssize_t size, int keeps_eof)
{
    int columns = bytes[4];
    Py_ssize_t at = end_of_packet(bytes, size, 0);
    if (at != 5 || columns > 250)
        return 0;
    for (int i = 0; i < columns; i++) {
        at = end_of_packet(bytes, size, at);
        if (at == 0)
            return 0;
    }
    if (!keeps_eof)
        return at;
    Py_ssize_t end = end_of_packet(bytes, size, at);
    return end == at + 9 && bytes[at + 4] == 0xFE && !(bytes[at + 7] & STATUS_CURSOR_EXISTS) ? end
                                                                                           : 0;
}

/* Columns and rows. See Scanner.feed. */
static void
read_rows(PyObject *scanner, const unsigned char *bytes, Py_ssize_t size, Ending *ending)
{
    int keeps_eof = AT(scanner, C_KEEPS_EOF) == Py_True;
    Py_ssize_t at = end_of_columns(bytes, size, keeps_eof);
    while (at != 0) {
        Py_ssize_t end = end_of_packet(bytes, size, at);
        if (end != 0 && bytes[at + 4] < 0xFE) {
            at = end;
            continue;
        }
        if (end != size || bytes[at + 4] != 0xFE || end != at + (keeps_eof ? 9 : 11))
            return;
        const unsigned char *tail = bytes + at + 5 + (keeps_eof ? 0 : 2);
        int first = tail[0] | tail[1] << 8, second = tail[2] | tail[3] << 8;
        if ((keeps_eof ? first : second) == 0) /* no warnings */
            ending->status = keeps_eof ? second : first;
        return;
    }
}

static Ending
ending_of(PyObject *scanner, PyObject *data)
{
    Ending ending = {-1, 0, 0, 0};
    Py_ssize_t size = PyBytes_Size(data);
    if (!is_a(scanner, scanner_type) || size < 5 || AT(scanner, C_EXPECT) != zero ||
        AT(scanner, C_SKIP) != zero || !is_falsy(AT(scanner, C_HELD)))
        return ending;
    const unsigned char *bytes = (const unsigned char *)PyBytes_AsString(data);
    if (bytes[4] == 0)
        read_ok(bytes, size, &ending);
    else
        read_rows(scanner, bytes, size, &ending);
    return ending;
}

/* Let the scanner and the session know it, as Scanner.feed and Forwarding.answer_end do. */
static int
note_ending(PyObject *scanner, PyObject *sink, PyObject *data, Ending ending)
{
    PyObject *last = Py_NewRef(no_bytes), *affected = NULL, *insert_id = NULL;
    if (ending.ok_size != 0) {
        Py_DECREF(last);
        last = PyBytes_FromStringAndSize(PyBytes_AsString(data) + 4, ending.ok_size);
        affected = PyLong_FromLong(ending.affected);
        insert_id = PyLong_FromLong(ending.insert_id);
        if (last == NULL || affected == NULL || insert_id == NULL)
            goto end;
        put(sink, S_ROW_COUNT, affected);
        put(sink, S_COUNTED_AT, AT(sink, S_STATEMENTS));
        if (ending.insert_id != 0)
            put(sink, S_INSERT_ID, insert_id);
    }
    put(scanner, C_STATUS, ending.status == STATUS_AUTOCOMMIT ? usual_status : transaction_status);
    put(scanner, C_WARNINGS, zero);
    put(scanner, C_ERROR, Py_None);
    put(scanner, C_LAST, last);
    put(scanner, C_DONE, Py_True);
end:
    Py_XDECREF(last);
    Py_XDECREF(affected);
    Py_XDECREF(insert_id);
    return PyErr_Occurred() ? -1 : 0;
}

/* Whether the session has nothing open beside a transaction on this connection. */
static int
is_simple(PyObject *sink, PyObject *connection, int status)
{
    PyObject *transaction = AT(sink, S_TRANSACTION);
    if (!is_a(transaction, transaction_type))
        return 0;
    PyObject *bound = AT(transaction, T_BOUND);
    if (status == STATUS_AUTOCOMMIT) {
        if (bound != Py_None || AT(connection, B_IN_TRANSACTION) != Py_False)
            return 0;
    }
    else if (bound != connection || AT(connection, B_IN_TRANSACTION) != Py_True ||
             !is_falsy(AT(transaction, T_JOINED)))
        return 0;
    return AT(sink, S_RELAYED) == Py_None && AT(sink, S_ENDS_AFTER) == Py_None &&
           AT(sink, S_HAS_INPUT) == Py_False && AT(sink, S_TASK) == Py_None &&
           is_falsy(AT(sink, S_PINS)) && is_falsy(AT(sink, S_BLOCKED_AT)) &&
           AT(sink, S_TRANSPORT) != Py_None && AT(connection, B_AUTOCOMMIT) == Py_True &&
           AT(connection, B_ALIVE) == Py_True && AT(connection, B_OBSOLETE) == Py_False &&
           AT(connection, B_IS_FOREIGN) == Py_False && AT(connection, B_IS_IDLE) == Py_False;
}

/* The pool's clock when a connection of it may lie idle, a new reference; NULL without an error
   when somebody waits for one. */
static PyObject *
time_to_rest(PyObject *lane)
{
    PyObject *pool = AT(lane, L_POOL);
    PyObject *waiting = PyObject_GetAttr(pool, n_waiting);
    if (waiting == NULL)
        return NULL;
    Py_ssize_t count = PyObject_Size(waiting);
    Py_DECREF(waiting);
    return count == 0 ? PyObject_GetAttr(pool, n_now) : NULL;
}

/* As `forward`, for an answer. */
static int
pass_on(PyObject *self, PyObject *data)
{
    PyObject *sink = AT(self, B_SINK);
    if (!is_a(sink, session_type) || !PyBytes_CheckExact(data))
        return 0;
    PyObject *scanner = AT(self, B_SCANNER);
    Ending ending = ending_of(scanner, data);
    int status = ending.status;
    if (status != STATUS_AUTOCOMMIT && status != (STATUS_AUTOCOMMIT | STATUS_IN_TRANS))
        return 0;
    PyObject *lane = AT(self, B_OWNER);
    if (!is_a(lane, lane_type) || !is_simple(sink, self, status))
        return 0;
    int is_over = status == STATUS_AUTOCOMMIT;
    PyObject *rests_from = is_over ? time_to_rest(lane) : Py_NewRef(Py_None);
    PyObject *now = PyDict_GetItemWithError(clock_dict, n_now);
    if (rests_from == NULL || now == NULL) {
        Py_XDECREF(rests_from);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (note_ending(scanner, sink, data, ending) < 0) {
        Py_DECREF(rests_from);
        return -1;
    }
    Py_INCREF(sink);
    put(self, B_SINK, Py_None);
    put(sink, S_ACTIVE, Py_None);
    int done = write_to(AT(sink, S_TRANSPORT), data);
    if (is_over) {
        put(self, B_IDLE_SINCE, rests_from);
        put(self, B_IS_IDLE, Py_True);
        if (PyList_Append(AT(lane, L_IDLE), self) < 0)
            done = -1;
    }
    Py_DECREF(rests_from);
    if (done > 0 &&
        (now != AT(sink, S_BEGAN_AT) || (PyLong_AsLong(AT(sink, S_STATEMENTS)) & SAMPLE) == 0)) {
        PyObject *nothing = PyObject_CallMethodObjArgs(sink, n_note_statement, NULL);
        Py_XDECREF(nothing);
        done = nothing != NULL ? 1 : -1;
    }
    Py_DECREF(sink);
    return done;
}

static PyObject *
or_slowly(int done, PyObject *self, PyObject *name, PyObject *data)
{
    if (done < 0)
        return NULL;
    if (done)
        Py_RETURN_NONE;
    return PyObject_CallMethodObjArgs(self, name, data, NULL);
}

static PyObject *
session_data_received(PyObject *self, PyObject *data)
{
    return or_slowly(forward(self, data), self, n_take, data);
}

static PyObject *
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
A_TYPE(branches, "BranchesState", T_COUNT, branches_members, no_methods);
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
    static char *names[] = {"session",   "backend",   "scanner", "lane",    "transaction", "statement",
                            "point", "one_shard", "variant", "at_once", "clock",       NULL};
    PyObject *clock;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "$OOOOOOOOOOO", names, &session_type,
                                     &backend_type, &scanner_type, &lane_type, &transaction_type,
                                     &statement_type, &point_type, &one_shard_type, &usual_variant,
                                     &at_once, &clock))
        return NULL;
    clock_dict = PyModule_GetDict(clock);
    if (clock_dict == NULL)
        return NULL;
    PyObject *kept[] = {session_type,   backend_type, scanner_type,   lane_type,
                        transaction_type, statement_type, point_type, one_shard_type,
                        usual_variant,  at_once,      clock_dict};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        Py_INCREF(kept[i]);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"shape_of", shape_of, METH_O, NULL},
    {"learn", (PyCFunction)(void (*)(void))learn, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL}};

static int
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    int failed = type == NULL || PyModule_AddType(module, (PyTypeObject *)type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static int
add_names(void)
{
    struct {
        PyObject **name;
        const char *text;
    } all[] = {
        {&n_now, "now"},         {&n_current, "current"}, {&n_lanes, "lanes"},
        {&n_planners, "planners"}, {&n_planner, "planner"}, {&n_shapes, "shapes"},
        {&n_index, "index"},     {&n_characters, "_characters"},
        {&n_digits, "_digits"},  {&n_plans, "_plans"},    {&n_mask, "_mask"},
        {&n_flags, "flags"},     {&n_shard, "shard"},     {&n_write, "write"},
        {&n_waiting, "waiting"}, {&n_take, "take"},       {&n_take_answer, "take_answer"},
        {&n_note_statement, "_note_statement"},
        {&n_route, "route"},     {&n_carry_out, "carry_out"},
        {&n_parameters, "parameters"}, {&n_common, "common"},
        {&n_statements, "statements"}, {&n_number, "number"},
        {&n_types, "types"},     {&n_was_used, "was_used"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if ((*all[i].name = PyUnicode_InternFromString(all[i].text)) == NULL)
            return -1;
    zero = PyLong_FromLong(0);
    one = PyLong_FromLong(1);
    usual_status = PyLong_FromLong(STATUS_AUTOCOMMIT);
    transaction_status = PyLong_FromLong(STATUS_AUTOCOMMIT | STATUS_IN_TRANS);
    no_bytes = PyBytes_FromStringAndSize(NULL, 0);
    return zero && one && usual_status && transaction_status && no_bytes ? 0 : -1;
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_compiled", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC
PyInit__compiled(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
        crc_table[i] = crc;
    }
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    if (add_names() < 0 || add_type(module, &session_spec) < 0 ||
        add_type(module, &backend_spec) < 0 ||
        add_type(module, &scanner_spec) < 0 ||
        add_type(module, &lane_spec) < 0 ||
        add_type(module, &branches_spec) < 0 || add_type(module, &statement_spec) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
