/* Answers on their way to the client. */

#include "_relay.h"

#define OK_SIZE 11 /* of a packet with its header, up to the number of warnings */

/* Status flags when they tell of nothing but the transaction; else -1. */
static int
plain_status(const unsigned char *at)
{
    int status = at[0] | at[1] << 8;
    return status & ~(STATUS_IN_TRANS | STATUS_AUTOCOMMIT) ? -1 : status;
}

/* The state of the transaction, where an OK tells that and nothing else behind its fixed part: no
   text; a block of 11 bytes, with one entry of type 5 and 9 bytes, a text of 8. Servers tell it at
   BEGIN and COMMIT. */
static const unsigned char *
transaction_state_of(const unsigned char *bytes, Py_ssize_t size)
{
    static const unsigned char head[] = {0, 11, 5, 9, 8};
    const unsigned char *tail = bytes + OK_SIZE;
    if (size != OK_SIZE + (Py_ssize_t)sizeof head + 8 || memcmp(tail, head, sizeof head) != 0)
        return NULL;
    return tail + sizeof head;
}

/* One OK packet, with small numbers and without warnings. */
static void
read_ok(const unsigned char *bytes, Py_ssize_t size, Ending *ending)
{
    Py_ssize_t length = bytes[0] | bytes[1] << 8 | bytes[2] << 16;
    if (size < OK_SIZE || length + 4 != size || bytes[5] > 250 || bytes[6] > 250 ||
        bytes[9] != 0 || bytes[10] != 0)
        return;
    ending->status = plain_status(bytes + 7);
    if (bytes[8] == STATUS_SESSION_STATE_CHANGED >> 8) {
        ending->transaction_state = transaction_state_of(bytes, size);
        if (ending->transaction_state != NULL)
            ending->status = plain_status((const unsigned char[]){bytes[7], 0});
    }
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
        const unsigned char *warnings = keeps_eof ? tail : tail + 2;
        if (warnings[0] == 0 && warnings[1] == 0)
            ending->status = plain_status(keeps_eof ? tail + 2 : tail);
        return;
    }
}

Ending
ending_of(PyObject *scanner, PyObject *data)
{
    Ending ending = {-1, 0, 0, 0, NULL};
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

/* As BackendConnection._note_end, whose conditions these are: before the new status is noted. */
static int
note_transaction_state(PyObject *connection, Ending ending)
{
    if (ending.transaction_state == NULL ||
        (AT(connection, B_IN_TRANSACTION) == Py_False &&
         AT(connection, B_AUTOCOMMIT) == Py_True && ending.status == STATUS_AUTOCOMMIT))
        return 0;
    PyObject *state = PyBytes_FromStringAndSize((const char *)ending.transaction_state, 8);
    if (state == NULL)
        return -1;
    put(connection, B_TRANSACTION_STATE, state);
    Py_DECREF(state);
    return 0;
}

/* What the client gets: without the state of the transaction if it does not track its session, as
   Scanner._finish. A new reference. */
static PyObject *
for_client(PyObject *scanner, PyObject *data, Ending ending)
{
    if (ending.transaction_state == NULL || is_falsy(AT(scanner, C_STRIPS)))
        return Py_NewRef(data);
    PyObject *short_ok = PyBytes_FromStringAndSize(PyBytes_AsString(data), OK_SIZE);
    if (short_ok != NULL) {
        char *bytes = PyBytes_AsString(short_ok);
        bytes[0] = OK_SIZE - 4;
        bytes[8] = 0;
    }
    return short_ok;
}

/* Let the connection and its scanner know it, as Scanner.feed and BackendConnection._note_end. */
int
note_end(PyObject *connection, PyObject *data, Ending ending)
{
    PyObject *scanner = AT(connection, B_SCANNER);
    int changed = ending.transaction_state != NULL ? STATUS_SESSION_STATE_CHANGED : 0;
    PyObject *last = Py_NewRef(no_bytes), *status = PyLong_FromLong(ending.status | changed);
    if (ending.ok_size != 0) {
        Py_DECREF(last);
        last = PyBytes_FromStringAndSize(PyBytes_AsString(data) + 4, ending.ok_size);
    }
    if (last != NULL && status != NULL && note_transaction_state(connection, ending) == 0) {
        put(scanner, C_STATUS, status);
        put(scanner, C_WARNINGS, zero);
        put(scanner, C_ERROR, Py_None);
        put(scanner, C_LAST, last);
        put(scanner, C_DONE, Py_True);
        put(connection, B_IN_TRANSACTION, ending.status & STATUS_IN_TRANS ? Py_True : Py_False);
        put(connection, B_AUTOCOMMIT, ending.status & STATUS_AUTOCOMMIT ? Py_True : Py_False);
    }
    Py_XDECREF(last);
    Py_XDECREF(status);
    return PyErr_Occurred() ? -1 : 0;
}

/* Let the session know what an OK tells, as Forwarding._note_ok. */
static int
note_ok(PyObject *sink, Ending ending)
{
    PyObject *affected = PyLong_FromLong(ending.affected);
    PyObject *insert_id = PyLong_FromLong(ending.insert_id);
    if (affected != NULL && insert_id != NULL) {
        put(sink, S_ROW_COUNT, affected);
        put(sink, S_COUNTED_AT, AT(sink, S_STATEMENTS));
        if (ending.insert_id != 0)
            put(sink, S_INSERT_ID, insert_id);
    }
    Py_XDECREF(affected);
    Py_XDECREF(insert_id);
    return PyErr_Occurred() ? -1 : 0;
}

/* Whether the session has nothing open beside a transaction on this connection. */
static int
is_simple(PyObject *sink, PyObject *connection, int in_transaction)
{
    PyObject *transaction = AT(sink, S_TRANSACTION);
    if (!is_a(transaction, transaction_type))
        return 0;
    PyObject *bound = AT(transaction, T_BOUND);
    if (bound == connection) {
        if (!is_falsy(AT(transaction, T_JOINED)) ||
            (!in_transaction && !is_falsy(AT(transaction, T_SAVEPOINTS))))
            return 0;
    }
    else if (bound != Py_None)
        return 0;
    return AT(sink, S_RELAYED) == Py_None && AT(sink, S_ENDS_AFTER) == Py_None &&
           AT(sink, S_HAS_INPUT) == Py_False && AT(sink, S_TASK) == Py_None &&
           is_falsy(AT(sink, S_PINS)) && is_falsy(AT(sink, S_BLOCKED_AT)) &&
           AT(sink, S_TRANSPORT) != Py_None && AT(connection, B_ALIVE) == Py_True &&
           AT(connection, B_OBSOLETE) == Py_False && AT(connection, B_IS_FOREIGN) == Py_False &&
           AT(connection, B_IS_IDLE) == Py_False;
}

/* The pool's clock when a connection of it may lie idle, a new reference; NULL without an error
   when somebody waits for one. */
static PyObject *
time_to_rest(PyObject *lane)
{
    PyObject *pool = AT(lane, L_POOL);
    if (!is_a(pool, pool_type) || PyObject_Size(AT(pool, O_WAITING)) != 0)
        return NULL;
    return Py_NewRef(AT(pool, O_NOW));
}

/* As `forward`, for an answer. */
int
pass_on(PyObject *self, PyObject *data)
{
    PyObject *sink = AT(self, B_SINK);
    if (!PyBytes_CheckExact(data))
        return 0;
    if (is_a(sink, beginning_type))
        return begun(self, sink, data);
    if (!is_a(sink, session_type))
        return 0;
    Ending ending = ending_of(AT(self, B_SCANNER), data);
    if (ending.status < 0)
        return 0;
    PyObject *lane = AT(self, B_OWNER);
    int in_transaction = ending.status & STATUS_IN_TRANS;
    if (!is_a(lane, lane_type) || !is_simple(sink, self, in_transaction))
        return 0;
    PyObject *rests_from = in_transaction ? Py_NewRef(Py_None) : time_to_rest(lane);
    PyObject *now = PyDict_GetItemWithError(clock_dict, n_now);
    if (rests_from == NULL || now == NULL) {
        Py_XDECREF(rests_from);
        return PyErr_Occurred() ? -1 : 0;
    }
    if (note_end(self, data, ending) < 0 || (ending.ok_size != 0 && note_ok(sink, ending) < 0)) {
        Py_DECREF(rests_from);
        return -1;
    }
    Py_INCREF(sink);
    put(self, B_SINK, Py_None);
    put(sink, S_ACTIVE, Py_None);
    put(AT(sink, S_TRANSACTION), T_BOUND, in_transaction ? self : Py_None);
    PyObject *answer = for_client(AT(self, B_SCANNER), data, ending);
    int done = answer != NULL ? write_to(AT(sink, S_TRANSPORT), answer) : -1;
    Py_XDECREF(answer);
    if (!in_transaction) {
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
