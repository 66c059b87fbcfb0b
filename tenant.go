package rowhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rowhouse/rowhouse/internal/bind"
	"github.com/rowhouse/rowhouse/internal/catalog"
	"github.com/rowhouse/rowhouse/internal/directory"
	"github.com/rowhouse/rowhouse/internal/hostname"
)

// State says what a tenant may do at the moment.
type State string

// The states. Over HTTP each has an answer of its own; see package tenanthttp.
const (
	// StateProvisioning: the tenant is being created.
	StateProvisioning State = catalog.Provisioning
	// StateActive: the tenant is served.
	StateActive State = catalog.Active
	// StateMaintenance: the tenant is not served for a while.
	StateMaintenance State = catalog.Maintenance
	// StateReadOnly: the tenant is served; PostgreSQL refuses its writes.
	StateReadOnly State = catalog.ReadOnly
	// StateSuspended: the tenant is refused, by the operator's word.
	StateSuspended State = catalog.Suspended
	// StateArchived: the tenant is kept and neither served nor migrated.
	StateArchived State = catalog.Archived
	// StateTrashed: the tenant is deleted and can be undeleted until it is
	// purged.
	StateTrashed State = catalog.Trashed
)

// workable tells whether units of work may run in a state: jobs and the operator
// work on suspended tenants too; only HTTP refuses those.
func (s State) workable() bool {
	return s == StateActive || s == StateMaintenance || s == StateReadOnly || s == StateSuspended
}

// Tenant is a customer of the application: a row of the catalog and a schema. A
// DB returns the same Tenant to many callers; do not change its fields. What work
// is bound to does not follow from the exported fields, so that changing them
// could lead nowhere else.
type Tenant struct {
	// ID never changes and is never used again. It is opaque (a UUID).
	ID string `json:"id"`
	// Name is for people. At most 100 characters.
	Name string `json:"name"`
	// Schema is the name of the tenant's schema.
	Schema string `json:"schema"`
	// Domain is the primary domain, normalised; empty if there is none.
	Domain string `json:"domain"`
	// Kind is the class of tenants that this one belongs to. "default" unless
	// the operator said otherwise.
	Kind string `json:"kind"`
	// State says what the tenant may do at the moment.
	State State `json:"state"`
	// Database names the database that holds the tenant. "default" is the
	// catalog's own.
	Database string `json:"database"`
	// CreatedOn is when the tenant was created.
	CreatedOn time.Time `json:"created_on"`
	// UpdatedOn is when its row in the catalog last changed.
	UpdatedOn time.Time `json:"updated_on"`
	// Metadata is the application's own: a JSON object. See DecodeMetadata.
	Metadata json.RawMessage `json:"metadata"`

	home    string // the catalog that it is of
	limits  Limits
	binding *bind.Binding
}

// IsActive tells whether the tenant is served: its state is active or read_only.
func (t *Tenant) IsActive() bool { return t.State == StateActive || t.State == StateReadOnly }

// DecodeMetadata decodes the application's own fields into v, as
// [json.Unmarshal] does.
func (t *Tenant) DecodeMetadata(v any) error {
	if err := json.Unmarshal(t.Metadata, v); err != nil {
		return fmt.Errorf("rowhouse: metadata of tenant %q: %w", t.Schema, err)
	}
	return nil
}

// NormalizeHost brings a host name into the form in which domains are stored and
// compared: no port, no trailing dot, lower case, Unicode labels in punycode, an
// IPv6 address without brackets. It returns [ErrInvalidHost] for what is no host
// name, a URL for example.
func NormalizeHost(host string) (string, error) {
	normal, err := hostname.Normalize(host)
	if err != nil {
		return "", fmt.Errorf("rowhouse: %w", err)
	}
	return normal, nil
}

// TenantByDomain finds the tenant that a host name leads to. The name is
// normalised first: its case, a port, a trailing dot do not matter. It returns
// [ErrInvalidHost] or [ErrUnknownTenant].
//
// The tenant may be in any state; who serves it must look.
func (db *DB) TenantByDomain(ctx context.Context, host string) (*Tenant, error) {
	domain, err := NormalizeHost(host)
	if err != nil {
		return nil, err
	}
	return db.tenant(ctx, directory.Key{By: directory.ByDomain, Value: domain})
}

// TenantBySchema finds a tenant by the name of its schema. It returns
// [ErrUnknownTenant] if there is none.
func (db *DB) TenantBySchema(ctx context.Context, schema string) (*Tenant, error) {
	return db.tenant(ctx, directory.Key{By: directory.BySchema, Value: schema})
}

// TenantByID finds a tenant by its ID. It returns [ErrUnknownTenant] if there is
// none.
func (db *DB) TenantByID(ctx context.Context, id string) (*Tenant, error) {
	return db.tenant(ctx, directory.Key{By: directory.ByID, Value: id})
}

func (db *DB) tenant(ctx context.Context, key directory.Key) (*Tenant, error) {
	t, err := db.directory.Lookup(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("rowhouse: %w", err)
	}
	return t, nil
}

// load is the directory's loader.
func (db *DB) load(ctx context.Context, key directory.Key) (*Tenant, string, error) {
	find := catalog.ByDomain
	switch key.By {
	case directory.BySchema:
		find = catalog.BySchema
	case directory.ByID:
		find = catalog.ByID
	}
	row, err := find(ctx, db.pool, key.Value)
	if err != nil {
		return nil, "", err
	}
	return NewTenant(row, db.settings, db.limits), row.ID, nil
}

// NewTenant is for rowhouse's own packages, which read the catalog: its arguments
// cannot be made elsewhere. limits are those of which the catalog says nothing else.
// Applications look tenants up.
func NewTenant(row catalog.Tenant, settings catalog.Settings, limits Limits) *Tenant {
	t := &Tenant{
		ID: row.ID, Name: row.Name, Schema: row.Schema, Domain: row.Domain, Kind: row.Kind,
		State: State(row.State), Database: row.Database, Metadata: row.Metadata,
		CreatedOn: row.CreatedOn, UpdatedOn: row.UpdatedOn,
		home: settings.Home, limits: limits.with(row.Limits),
	}
	if t.State.workable() {
		t.binding = bind.New(bind.Target{
			Schema: row.Schema, SchemaOID: row.SchemaOID, Role: settings.RoleOf(row),
			SearchPath: settings.SearchPath(row.Schema), TenantID: row.ID,
			ReadOnly:         t.State == StateReadOnly,
			StatementTimeout: t.limits.StatementTimeout, LockTimeout: t.limits.LockTimeout,
			IdleInTransactionTimeout: t.limits.IdleInTransactionTimeout,
			Shape:                    row.Shape, Hold: catalog.HoldKey(row.SchemaOID),
		})
	}
	return t
}
