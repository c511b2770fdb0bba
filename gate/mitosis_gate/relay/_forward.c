/* Statements on their way to a server. */

#include "_relay.h"

/* The planner in force, a new reference; NULL without an error when it is another one. */
static PyObject *
planner_in_force(PyObject *self)
{
    PyObject *planner =
        PyObject_CallFunctionObjArgs(AT(self, S_PLANNER_OF), AT(self, S_HOME), NULL);
    if (planner == NULL || (is_a(planner, planner_type) && planner == AT(self, S_PLANNER)))
        return planner;
    Py_DECREF(planner);
    return NULL;
}

/* The lane of the shard that a plan names, a new reference; NULL without an error when there is no
   connection to have at once. */
PyObject *
lane_of(PyObject *self, PyObject *plan)
{
    Py_ssize_t shard = number_of(plan, n_shard);
    PyObject *lane = NULL;
    if (shard >= 0)
        lane = PyTuple_GetItem(AT(AT(self, S_LANES), N_LANES), shard);
    return lane != NULL && is_a(lane, lane_type) ? Py_NewRef(lane) : NULL;
}

/* The connection that a statement may take at once, borrowed; NULL: none. */
PyObject *
connection_for(PyObject *self, PyObject *lane)
{
    PyObject *transaction = AT(self, S_TRANSACTION);
    if (!is_a(transaction, transaction_type))
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
    if (AT(transaction, T_WAITS) != Py_False && !may_begin(transaction, connection))
        return NULL;
    return connection;
}

/* What runs from here on; it says about itself what goes into `_packet` and, of an execution,
   `_execution`. */
int
note_command(PyObject *self, PyObject *data, PyObject *execution)
{
    PyObject *now = PyDict_GetItemWithError(clock_dict, n_now);
    if (now == NULL)
        return -1;
    put(self, S_PACKET, execution != NULL ? no_bytes : data);
    if (execution != NULL)
        put(self, S_EXECUTION, execution);
    put(self, S_BEGAN_AT, now);
    return 0;
}

/* Send bytes whose answer goes to `sink`: 1, or -1 with an error. */
int
start(PyObject *self, PyObject *connection, PyObject *sink, PyObject *data)
{
    put(self, S_ACTIVE, connection);
    put(self, S_SEQUENCE, one);
    put(connection, B_LAST_USER, AT(self, S_CONNECTION_ID));
    put(connection, B_SINK, sink);
    PyObject *scanner = AT(connection, B_SCANNER);
    put(scanner, C_EXPECT, zero);
    put(scanner, C_STRIPS, AT(self, S_STRIPS));
    put(scanner, C_DONE, Py_False);
    return write_to(AT(connection, B_TRANSPORT), data);
}

/* As Forwarding._send: 1, or -1 with an error. */
int
start_on(PyObject *self, PyObject *connection, PyObject *data)
{
    PyObject *statements = PyLong_FromLong(PyLong_AsLong(AT(self, S_STATEMENTS)) + 1);
    if (statements == NULL)
        return -1;
    put(self, S_STATEMENTS, statements);
    Py_DECREF(statements);
    put(self, S_LAST, connection);
    put(self, S_FORWARDED, Py_False);
    return start(self, connection, self, data);
}

/* Send a command on a connection that `connection_for` gave, behind BEGIN if one waits; for the rest
   see `note_command`. 1, or -1 with an error. */
int
send_on(PyObject *self, PyObject *lane, PyObject *connection, PyObject *data, PyObject *execution)
{
    if (note_command(self, data, execution) < 0)
        return -1;
    PyObject *transaction = AT(self, S_TRANSACTION);
    if (AT(transaction, T_BOUND) == Py_None) {
        PyObject *idle = AT(lane, L_IDLE);
        Py_ssize_t count = PyList_Size(idle);
        if (PyList_SetSlice(idle, count - 1, count, NULL) < 0)
            return -1;
        put(connection, B_IS_IDLE, Py_False);
    }
    if (AT(transaction, T_WAITS) != Py_False)
        return begin_on(self, connection, data);
    return start_on(self, connection, data);
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

/* Whether nothing stands in the way of the next command. */
static int
is_ready(PyObject *self)
{
    if (AT(self, S_ACTIVE) != Py_None || AT(self, S_TASK) != Py_None ||
        AT(self, S_HAS_INPUT) != Py_False || AT(self, S_VARIANT) != usual_variant ||
        !is_a(AT(self, S_LANES), lanes_type) || !is_falsy(AT(self, S_BLOCKED_AT)) ||
        is_falsy(AT(self, S_CURRENT)))
        return 0;
    return AT(AT(self, S_LANES), N_CURRENT) == Py_True;
}

/* Where the text of a framed COM_QUERY begins; 0: it has attributes. */
static Py_ssize_t
text_at(PyObject *self, const unsigned char *bytes, Py_ssize_t size)
{
    if (AT(self, S_NAMES) != Py_True)
        return 5;
    return size >= 8 && bytes[5] == 0 && bytes[6] == 1 ? 7 : 0;
}

/* Plan it, here if its shape is known; send it, or leave what to do with the plan to
   Session.carry_out. */
static int
query(PyObject *self, PyObject *planner, PyObject *data)
{
    Py_ssize_t size = PyBytes_Size(data);
    const char *bytes = PyBytes_AsString(data);
    Py_ssize_t at = text_at(self, (const unsigned char *)bytes, size);
    if (at == 0)
        return 0;
    int done = -1;
    PyObject *sql = NULL;
    PyObject *plan = plan_by_shape(planner, bytes + at, size - at);
    if (plan == NULL && !PyErr_Occurred()) {
        sql = PyBytes_FromStringAndSize(bytes + at, size - at);
        if (sql != NULL)
            plan = PyObject_CallMethodObjArgs(planner, n_route, sql, usual_variant, NULL);
    }
    if (plan != NULL)
        done = send_planned(self, plan, data);
    if (done == 0)
        done = control(self, plan, bytes + at, size - at, data);
    if (done == 0) {
        if (sql == NULL)
            sql = PyBytes_FromStringAndSize(bytes + at, size - at);
        PyObject *nothing = NULL;
        if (sql != NULL)
            nothing = PyObject_CallMethodObjArgs(self, n_carry_out, plan, sql, data, NULL);
        done = nothing != NULL ? 1 : -1;
        Py_XDECREF(nothing);
    }
    Py_XDECREF(plan);
    Py_XDECREF(sql);
    return done;
}

/* 1: done; 0: not a case for this module, and nothing was done; -1: an error is set. */
int
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
    if (!is_ready(self))
        return 0;
    PyObject *planner = planner_in_force(self);
    if (planner == NULL)
        return PyErr_Occurred() ? -1 : 0;
    int done = bytes[4] == COM_QUERY ? query(self, planner, data) : execute(self, planner, data);
    Py_DECREF(planner);
    return PyErr_Occurred() ? -1 : done;
}
