/* BEGIN, COMMIT and ROLLBACK of a transaction on one shard: transaction/control.py in short. */

#include "_relay.h"

/* As Branches.plain_begin and Forwarding._begin_first: whether BEGIN waits, and nothing else, and
   may go to this connection. */
int
may_begin(PyObject *transaction, PyObject *connection)
{
    PyObject *begin = AT(transaction, T_BEGIN);
    return PyBytes_CheckExact(begin) && PyBytes_Size(begin) > 0 &&
           PyBytes_Size(begin) <= LONGEST && AT(transaction, T_BOUND) == Py_None &&
           AT(transaction, T_LOST) == Py_None && AT(transaction, T_ROLLING) == Py_None &&
           is_falsy(AT(transaction, T_NEXT)) && AT(transaction, T_IS_TRACKED) == Py_False &&
           is_falsy(AT(transaction, T_SAVEPOINTS)) && AT(connection, B_DRAINING) == Py_False;
}

/* COM_QUERY, as BackendConnection.framed makes it for connections of this session. */
static PyObject *
framed(PyObject *self, PyObject *sql)
{
    Py_ssize_t size = PyBytes_Size(sql), head = AT(self, S_NAMES) == Py_True ? 3 : 1;
    PyObject *packet = PyBytes_FromStringAndSize(NULL, 4 + head + size);
    if (packet == NULL)
        return NULL;
    char *bytes = PyBytes_AsString(packet);
    Py_ssize_t length = head + size;
    const char first[] = {(char)length, (char)(length >> 8), 0, 0, COM_QUERY, 0, 1};
    memcpy(bytes, first, 4 + head);
    memcpy(bytes + 4 + head, PyBytes_AsString(sql), size);
    return packet;
}

static PyObject *
make_beginning(PyObject *self, PyObject *data)
{
    PyObject *beginning = PyType_GenericAlloc((PyTypeObject *)beginning_type, 0);
    if (beginning != NULL) {
        AT(beginning, G_SESSION) = Py_NewRef(self);
        AT(beginning, G_PACKET) = Py_NewRef(data);
        AT(beginning, G_EXPECT) = Py_NewRef(zero);
    }
    return beginning;
}

/* Send BEGIN; `data` follows when it was OK. 1, or -1 with an error. */
int
begin_on(PyObject *self, PyObject *connection, PyObject *data)
{
    PyObject *packet = framed(self, AT(AT(self, S_TRANSACTION), T_BEGIN));
    PyObject *beginning = packet != NULL ? make_beginning(self, data) : NULL;
    int done = -1;
    if (beginning != NULL) {
        put(connection, B_TRANSACTION_STATE, no_bytes);
        done = start(self, connection, beginning, packet);
    }
    Py_XDECREF(packet);
    Py_XDECREF(beginning);
    return done;
}

/* BEGIN where nothing is open: it is kept, and answered here. */
static int
begin(PyObject *self, PyObject *transaction, const char *sql, Py_ssize_t size, PyObject *data)
{
    if (AT(self, S_KEPT) != Py_None || AT(self, S_TRANSPORT) == Py_None ||
        !is_falsy(AT(self, S_MESSAGES)) || !is_falsy(AT(self, S_HELD)) ||
        !is_falsy(AT(transaction, T_SAVEPOINTS)))
        return 0;
    PyObject *autocommit = PyObject_GetAttr(AT(self, S_VARIABLES), n_autocommit);
    Py_XDECREF(autocommit);
    if (autocommit != Py_True)
        return autocommit != NULL ? 0 : -1;
    PyObject *statement = PyBytes_FromStringAndSize(sql, size);
    if (statement == NULL || note_command(self, data, NULL) < 0) {
        Py_XDECREF(statement);
        return -1;
    }
    put(transaction, T_BEGIN, statement);
    put(transaction, T_READ_ONLY, Py_None);
    put(transaction, T_WAITS, Py_True);
    Py_DECREF(statement);
    put(self, S_ANSWERED, Py_True);
    put(self, S_LEFT, nothing_left);
    put(self, S_LEFT_AT, AT(self, S_STATEMENTS));
    put(self, S_SEQUENCE, two);
    return write_to(AT(self, S_TRANSPORT), begun_answer);
}

/* COMMIT or ROLLBACK on the only shard that takes part. */
static int
end(PyObject *self, PyObject *transaction, PyObject *connection, PyObject *data)
{
    if (!is_falsy(AT(transaction, T_JOINED)) || !is_falsy(AT(transaction, T_SAVEPOINTS)) ||
        AT(connection, B_ALIVE) != Py_True || AT(connection, B_OBSOLETE) != Py_False ||
        AT(connection, B_TRANSPORT) == Py_None || !is_a(AT(connection, B_SCANNER), scanner_type))
        return 0;
    return note_command(self, data, NULL) == 0 ? start_on(self, connection, data) : -1;
}

/* Carry out a plain BEGIN, COMMIT or ROLLBACK: 1; 0: nothing was done; -1: error. */
int
control(PyObject *self, PyObject *plan, const char *sql, Py_ssize_t size, PyObject *data)
{
    if (plan != plain_begin && plan != plain_commit && plan != plain_rollback)
        return 0;
    PyObject *transaction = AT(self, S_TRANSACTION);
    if (!is_a(transaction, transaction_type) || AT(transaction, T_WAITS) != Py_False)
        return 0;
    PyObject *bound = AT(transaction, T_BOUND);
    if (plan == plain_begin)
        return bound == Py_None ? begin(self, transaction, sql, size, data) : 0;
    return is_a(bound, backend_type) ? end(self, transaction, bound, data) : 0;
}

/* The answer to BEGIN: send what waits for it. As Forwarding.begun. */
int
begun(PyObject *connection, PyObject *beginning, PyObject *data)
{
    PyObject *self = AT(beginning, G_SESSION);
    Ending ending = ending_of(AT(connection, B_SCANNER), data);
    if (ending.status < 0 || !(ending.status & STATUS_IN_TRANS) || ending.ok_size == 0 ||
        !is_a(self, session_type) || !is_falsy(AT(self, S_BLOCKED_AT)) ||
        AT(connection, B_TRANSPORT) == Py_None || AT(beginning, G_EXPECT) != zero ||
        !PyBytes_CheckExact(AT(beginning, G_PACKET)))
        return 0;
    PyObject *transaction = AT(self, S_TRANSACTION);
    if (!is_a(transaction, transaction_type) || AT(transaction, T_LOST) != Py_None ||
        AT(transaction, T_ROLLING) != Py_None || !is_falsy(AT(transaction, T_NEXT)))
        return 0;
    PyObject *nothing = PyDict_New();
    if (nothing == NULL || note_end(connection, data, ending) < 0) {
        Py_XDECREF(nothing);
        return -1;
    }
    put(transaction, T_OWN, nothing);
    Py_DECREF(nothing);
    put(transaction, T_BEGIN, Py_None);
    put(transaction, T_WAITS, Py_False);
    put(transaction, T_BOUND, connection);
    /* the beginning goes when its connection gets another sink */
    PyObject *packet = Py_NewRef(AT(beginning, G_PACKET));
    Py_INCREF(self);
    int done = start_on(self, connection, packet);
    Py_DECREF(self);
    Py_DECREF(packet);
    return done;
}
