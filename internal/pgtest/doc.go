// Package pgtest gives tests real Postgres databases: one server per test process, one fresh database per test.
//
//	var schema = pgtest.Template{Name: "schema", Migrate: migrations.Up}
//
//	func TestMain(m *testing.M) { pgtest.Main(m, pgtest.WithLeakCheck()) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		db := pgtest.New(t, schema)
//		pool := db.Pool(t)
//		...
//	}
//
// # What it promises
//
//   - The server is started when the first database is asked for and stopped by [Main], also when tests fail. With
//     TEST_DATABASE_URL set (a user that may create databases), that server is used instead and only our databases are
//     dropped.
//   - A template is migrated once per process and copied per test: a test may commit, listen, open many connections, and sees nothing
//     of the other tests.
//   - A test that can't have its database fails and says what to do. It is never skipped.
//   - With KEEP_TEST_DATABASES=1 the database of a failed test is kept, and how to reach it is logged.
//   - A test can set, stop and advance the clock of its database: see [Database.FreezeClock].
package pgtest
