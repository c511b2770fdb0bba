/* Executions of prepared statements on their way to a server. */

#include "_relay.h"

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
int
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
