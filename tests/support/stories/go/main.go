// The story of an application in Go. Reads the address of a MySQL on standard input and prints what
// it saw, as JSON: [["what", seen], ...].
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"
)

const customers = 60

var seen [][2]any

func see(what string, value any) { seen = append(seen, [2]any{what, value}) }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func number(err error) any {
	if mine, ok := err.(*mysql.MySQLError); ok {
		return mine.Number
	}
	return fmt.Sprint(err)
}

func rows(db *sql.DB, query string, args ...any) [][]string {
	found, err := db.Query(query, args...)
	must(err)
	defer found.Close()
	names, err := found.Columns()
	must(err)
	var all [][]string
	for found.Next() {
		values := make([]sql.NullString, len(names))
		places := make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		must(found.Scan(places...))
		row := []string{}
		for _, value := range values {
			if value.Valid {
				row = append(row, value.String)
			} else {
				row = append(row, "NULL")
			}
		}
		all = append(all, row)
	}
	must(found.Err())
	return all
}

func affected(result sql.Result, err error) int64 {
	must(err)
	count, err := result.RowsAffected()
	must(err)
	return count
}

func write(db *sql.DB) {
	_, err := db.Exec("CREATE TABLE story_go_customers (user_id BIGINT NOT NULL PRIMARY KEY, " +
		"name VARCHAR(60) NOT NULL, city VARCHAR(40), balance DECIMAL(10,2) NOT NULL, " +
		"joined DATETIME(3), rate DOUBLE, share FLOAT)")
	must(err)
	_, err = db.Exec("CREATE TABLE story_go_invoices (user_id BIGINT NOT NULL, number INT NOT NULL, " +
		"amount DECIMAL(10,2) NOT NULL, PRIMARY KEY (user_id, number))")
	must(err)
	insert, err := db.Prepare("INSERT INTO story_go_customers VALUES (?, ?, ?, ?, ?, ?, ?)")
	must(err)
	for n := 1; n <= customers; n++ {
		var city any = fmt.Sprintf("city %d", n%5)
		if n%7 == 0 {
			city = nil
		}
		_, err = insert.Exec(n, fmt.Sprintf("Käufer %d 🐬", n), city, fmt.Sprintf("%d.25", n),
			fmt.Sprintf("2026-01-%02d 10:00:00.125", 1+n%28), float64(n)/3, float32(n)/7)
		must(err)
	}
	must(insert.Close())
	var values []string
	var args []any
	for n := 1; n <= customers; n++ {
		values = append(values, "(?, ?, ?)")
		args = append(args, n, 1, n*2)
	}
	see("inserted", affected(db.Exec("INSERT INTO story_go_invoices VALUES "+
		strings.Join(values, ","), args...)))
	_, err = db.Exec("INSERT INTO story_go_customers (user_id, name, balance) VALUES (5, 'x', 0)")
	see("duplicate", number(err))
}

func read(db *sql.DB) {
	see("one", rows(db, "SELECT * FROM story_go_customers WHERE user_id = ?", 7))
	see("text", rows(db, "SELECT * FROM story_go_customers WHERE user_id = 8"))
	see("page", rows(db, "SELECT * FROM story_go_customers WHERE balance > ? "+
		"ORDER BY balance DESC LIMIT ? OFFSET ?", 3, 5, 2))
	see("by city", rows(db, "SELECT city, COUNT(*), SUM(balance), AVG(balance), MAX(joined) "+
		"FROM story_go_customers WHERE user_id <> ? GROUP BY city ORDER BY city", 1))
	see("joined", rows(db, "SELECT c.name, i.amount FROM story_go_customers c "+
		"JOIN story_go_invoices i ON i.user_id = c.user_id WHERE i.amount > ? ORDER BY i.amount", 100))
	see("across", rows(db, "SELECT a.user_id, b.user_id FROM story_go_customers a "+
		"JOIN story_go_customers b ON b.balance = a.balance + ? ORDER BY a.user_id LIMIT 4", 3))
	var total string
	must(db.QueryRow("SELECT SUM(amount) FROM story_go_invoices").Scan(&total))
	see("total", total)
}

func change(db *sql.DB) {
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	must(err)
	for n := 1; n <= 10; n++ {
		_, err = tx.Exec("UPDATE story_go_customers SET name = ? WHERE user_id = ?", "moved", n)
		must(err)
	}
	must(tx.Rollback())
	see("undone", rows(db, "SELECT COUNT(*) FROM story_go_customers WHERE name = 'moved'"))
	tx, err = db.Begin()
	must(err)
	_, err = tx.Exec("UPDATE story_go_customers SET balance = balance - 1 WHERE user_id = 1")
	must(err)
	_, err = tx.Exec("UPDATE story_go_customers SET balance = balance + 1 WHERE user_id = 2")
	must(err)
	_, err = tx.Exec("UPDATE story_go_customers SET city = 'both' WHERE user_id IN (1, 2, 3, 4)")
	must(err)
	must(tx.Commit())
	see("done", rows(db, "SELECT user_id, city, balance FROM story_go_customers "+
		"WHERE city = 'both' ORDER BY user_id"))
	see("raised", affected(db.Exec("UPDATE story_go_invoices SET amount = amount + 1 "+
		"WHERE amount >= ?", 50)))
	see("deleted", affected(db.Exec("DELETE FROM story_go_invoices WHERE amount < ?", 20)))
	see("left", rows(db, "SELECT COUNT(*), MIN(amount), MAX(amount) FROM story_go_invoices"))
}

// Many goroutines share few connections; each sees its own rows.
func together(db *sql.DB) {
	db.SetMaxOpenConns(4)
	var group sync.WaitGroup
	found := make([]string, customers)
	for n := 1; n <= customers; n++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var name string
			must(db.QueryRow("SELECT name FROM story_go_customers WHERE user_id = ?", n).Scan(&name))
			found[n-1] = name
		}()
	}
	group.Wait()
	sort.Strings(found)
	see("together", found)
}

func drop(db *sql.DB) {
	for _, table := range []string{"story_go_customers", "story_go_invoices"} {
		_, err := db.Exec("DROP TABLE IF EXISTS " + table)
		must(err)
	}
}

func main() {
	where, err := io.ReadAll(os.Stdin)
	must(err)
	db, err := sql.Open("mysql", string(where))
	must(err)
	must(db.Ping())
	drop(db)
	write(db)
	read(db)
	change(db)
	together(db)
	drop(db)
	must(db.Close())
	must(json.NewEncoder(os.Stdout).Encode(seen))
}
