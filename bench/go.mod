module github.com/rowhouse/rowhouse/bench

go 1.26.0

require (
	github.com/bartventer/gorm-multitenancy/postgres/v8 v8.9.0
	github.com/bartventer/gorm-multitenancy/v8 v8.9.0
	github.com/jackc/pgx/v5 v5.12.0
	github.com/rowhouse/rowhouse v0.0.0
	gorm.io/driver/postgres v1.6.3
	gorm.io/gorm v1.31.2
)

require (
	github.com/go-viper/mapstructure/v2 v2.3.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/jinzhu/inflection v1.0.0 // indirect
	github.com/jinzhu/now v1.1.5 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
