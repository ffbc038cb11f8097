package db

// What the tests outside the package look at.
var (
	ApplyMigration    = applyMigration
	WithMigrationLock = withMigrationLock
)
