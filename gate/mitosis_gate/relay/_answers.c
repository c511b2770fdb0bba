/* Answers on their way to the client. */

#include "_relay.h"

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
    if (!is_a(pool, pool_type) || PyObject_Size(AT(pool, O_WAITING)) != 0)
        return NULL;
    return Py_NewRef(AT(pool, O_NOW));
}

/* As `forward`, for an answer. */
int
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
