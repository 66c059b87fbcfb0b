-- The catalog: which tenants there are, where they live, what was done to them.
-- Runs as the owner role, search_path empty. See internal/catalog/catalog.go.

CREATE TABLE rowhouse.settings (
    singleton     boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    catalog_id    uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    -- The roles were made for this database. In a copy of it (a template, a
    -- dump restored elsewhere) the oid differs.
    database_oid  oid  NOT NULL,
    role_prefix   text NOT NULL,
    shared_schema text NOT NULL,
    -- What keeps tenants apart: a role for each, or their search_path alone.
    isolation     text NOT NULL DEFAULT 'roles'
        CONSTRAINT settings_isolation_check CHECK (isolation IN ('roles', 'search_path'))
);

CREATE TABLE rowhouse.tenants (
    id          uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),
    name        text NOT NULL
        CONSTRAINT tenants_name_check
        CHECK (pg_catalog.char_length(name) <= 100 AND pg_catalog.btrim(name) <> ''),
    schema_name text NOT NULL
        CONSTRAINT tenants_schema_name_key UNIQUE
        CONSTRAINT tenants_schema_name_check CHECK (
            schema_name COLLATE "C" ~ '^[a-z][a-z0-9_]*$'
            AND pg_catalog.octet_length(schema_name) <= 63
            AND schema_name !~ '^pg_'
            AND schema_name NOT IN ('public', 'information_schema', 'rowhouse')
        ),
    kind        text NOT NULL DEFAULT 'default'
        CONSTRAINT tenants_kind_check
        CHECK (kind COLLATE "C" ~ '^[a-z][a-z0-9_-]*$' AND pg_catalog.octet_length(kind) <= 63),
    state       text NOT NULL DEFAULT 'provisioning'
        CONSTRAINT tenants_state_check CHECK (state IN (
            'provisioning', 'active', 'maintenance', 'read_only', 'suspended', 'archived', 'trashed')),
    -- What undelete goes back to.
    previous_state text
        CONSTRAINT tenants_previous_state_check CHECK ((previous_state IS NOT NULL) = (state = 'trashed')),
    -- Set before the first of its tables is dropped: no way back from there.
    purging     boolean NOT NULL DEFAULT false
        CONSTRAINT tenants_purging_check CHECK (NOT purging OR state IN ('trashed', 'provisioning')),
    is_active   boolean NOT NULL GENERATED ALWAYS AS (state IN ('active', 'read_only')) STORED,
    database    text NOT NULL DEFAULT 'default',
    metadata    jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT tenants_metadata_check CHECK (pg_catalog.jsonb_typeof(metadata) = 'object'),
    -- The tenant's own role. Null where all tenants work as one: no two tenants
    -- share a role by accident. tenants_guard below knows which it must be.
    role_name   text CONSTRAINT tenants_role_name_key UNIQUE,
    -- The identity of the schema: a schema of the same name with another oid
    -- is not this tenant's. Set when the schema was made.
    schema_oid  oid
        CONSTRAINT tenants_schema_oid_key UNIQUE
        CONSTRAINT tenants_schema_oid_check CHECK (schema_oid IS NOT NULL OR state = 'provisioning'),
    created_on  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_on  timestamptz NOT NULL DEFAULT pg_catalog.now()
);

CREATE TABLE rowhouse.domains (
    domain     text PRIMARY KEY
        CONSTRAINT domains_domain_check CHECK (
            domain = pg_catalog.lower(domain)
            AND pg_catalog.octet_length(domain) BETWEEN 1 AND 253
            AND domain !~ '[[:space:]/@#?]'
        ),
    tenant_id  uuid NOT NULL REFERENCES rowhouse.tenants ON DELETE CASCADE,
    is_primary boolean NOT NULL DEFAULT false,
    created_on timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX domains_tenant_id_idx ON rowhouse.domains (tenant_id);
-- At most one primary; domains_primary below sees to at least one.
CREATE UNIQUE INDEX domains_primary_key ON rowhouse.domains (tenant_id) WHERE is_primary;

-- What a tenant, or each tenant of a kind, may have at once. Null leaves it to the
-- tenant's kind, then to the application; 0 is no limit. Times are in milliseconds.
CREATE TABLE rowhouse.limits (
    tenant_id  uuid REFERENCES rowhouse.tenants ON DELETE CASCADE,
    kind       text
        CONSTRAINT limits_kind_check
        CHECK (kind COLLATE "C" ~ '^[a-z][a-z0-9_-]*$' AND pg_catalog.octet_length(kind) <= 63),
    connections                    int CONSTRAINT limits_connections_check CHECK (connections >= 0),
    waiting                        int CONSTRAINT limits_waiting_check CHECK (waiting >= 0),
    wait_ms                        int CONSTRAINT limits_wait_ms_check CHECK (wait_ms >= 0),
    statement_timeout_ms           int CONSTRAINT limits_statement_timeout_ms_check CHECK (statement_timeout_ms >= 0),
    idle_in_transaction_timeout_ms int CONSTRAINT limits_idle_in_transaction_timeout_ms_check CHECK (idle_in_transaction_timeout_ms >= 0),
    lock_timeout_ms                int CONSTRAINT limits_lock_timeout_ms_check CHECK (lock_timeout_ms >= 0),
    updated_on timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT limits_key UNIQUE NULLS NOT DISTINCT (tenant_id, kind),
    CONSTRAINT limits_scope_check CHECK (pg_catalog.num_nonnulls(tenant_id, kind) = 1)
);
CREATE INDEX limits_kind_idx ON rowhouse.limits (kind) WHERE kind IS NOT NULL;

-- The ledger. tenant_id is null for the shared schema.
CREATE TABLE rowhouse.migrations (
    tenant_id  uuid REFERENCES rowhouse.tenants ON DELETE CASCADE,
    set_name   text NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    duration   interval NOT NULL,
    CONSTRAINT migrations_key UNIQUE NULLS NOT DISTINCT (tenant_id, set_name, version)
);

-- Who did what to which tenant, and when. No foreign key: events outlive tenants.
CREATE TABLE rowhouse.events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    actor       text NOT NULL,
    action      text NOT NULL,
    tenant_id   uuid,
    schema_name text,
    detail      jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX events_tenant_id_idx ON rowhouse.events (tenant_id, id);
CREATE INDEX events_schema_name_idx ON rowhouse.events (schema_name, id);

CREATE FUNCTION rowhouse.refuse_event_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE EXCEPTION 'rowhouse.events is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rowhouse.events
    FOR EACH STATEMENT EXECUTE FUNCTION rowhouse.refuse_event_change();

-- A tenant has a role of its own exactly where the catalog's isolation says so.
-- Identity never changes, and a row goes only when nothing of the tenant is left
-- to lose: never routed to (provisioning) or deleted before (trashed).
CREATE FUNCTION rowhouse.guard_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF (NEW.role_name IS NOT NULL) <> (SELECT s.isolation = 'roles' FROM rowhouse.settings s) THEN
            RAISE EXCEPTION 'role_name of tenant % does not go with the isolation of the catalog', NEW.schema_name
                USING ERRCODE = 'check_violation', CONSTRAINT = 'tenants_role_name_isolation';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.state NOT IN ('provisioning', 'trashed') THEN
            RAISE EXCEPTION 'tenant % is %, only a trashed tenant can be purged', OLD.schema_name, OLD.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF (NEW.id, NEW.role_name, NEW.created_on) IS DISTINCT FROM (OLD.id, OLD.role_name, OLD.created_on) THEN
        RAISE EXCEPTION 'id, role_name and created_on of tenant % never change', OLD.schema_name
            USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.updated_on = pg_catalog.clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_guard BEFORE INSERT OR UPDATE OR DELETE ON rowhouse.tenants
    FOR EACH ROW EXECUTE FUNCTION rowhouse.guard_tenant();

-- Runs when the transaction commits, as whatever role that happens.
CREATE FUNCTION rowhouse.check_primary_domain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    -- Of an update that moves a domain, the tenant that lost it counts too.
    touched uuid[] := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.tenant_id]
        WHEN 'DELETE' THEN ARRAY[OLD.tenant_id]
        ELSE ARRAY[OLD.tenant_id, NEW.tenant_id] END;
    broken uuid;
BEGIN
    SELECT d.tenant_id INTO broken FROM rowhouse.domains d WHERE d.tenant_id = ANY (touched)
        GROUP BY d.tenant_id HAVING NOT pg_catalog.bool_or(d.is_primary) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tenant % has domains but no primary one', broken
            USING ERRCODE = 'check_violation', CONSTRAINT = 'domains_primary';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER domains_primary AFTER INSERT OR UPDATE OR DELETE ON rowhouse.domains
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rowhouse.check_primary_domain();

-- Every process listens and drops what it cached: of "tenant ID", of "domain NAME",
-- or everything for "flush".
CREATE FUNCTION rowhouse.notify_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('rowhouse', 'tenant ' || CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END);
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_notify AFTER INSERT OR UPDATE OR DELETE ON rowhouse.tenants
    FOR EACH ROW EXECUTE FUNCTION rowhouse.notify_tenant();

CREATE FUNCTION rowhouse.notify_domain() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_catalog.pg_notify('rowhouse', 'tenant ' || OLD.tenant_id),
                pg_catalog.pg_notify('rowhouse', 'domain ' || OLD.domain);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_catalog.pg_notify('rowhouse', 'tenant ' || NEW.tenant_id),
                pg_catalog.pg_notify('rowhouse', 'domain ' || NEW.domain);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER domains_notify AFTER INSERT OR UPDATE OR DELETE ON rowhouse.domains
    FOR EACH ROW EXECUTE FUNCTION rowhouse.notify_domain();

-- Statements are kept by what tables look like, and that is what was migrated.
CREATE FUNCTION rowhouse.notify_migration() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('rowhouse', coalesce('tenant ' || coalesce(NEW.tenant_id, OLD.tenant_id), 'flush'));
    RETURN NULL;
END $$;
CREATE TRIGGER migrations_notify AFTER INSERT OR UPDATE OR DELETE ON rowhouse.migrations
    FOR EACH ROW EXECUTE FUNCTION rowhouse.notify_migration();

CREATE FUNCTION rowhouse.notify_limits() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_catalog.pg_notify('rowhouse', coalesce('tenant ' || OLD.tenant_id, 'flush'));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_catalog.pg_notify('rowhouse', coalesce('tenant ' || NEW.tenant_id, 'flush'));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER limits_notify AFTER INSERT OR UPDATE OR DELETE ON rowhouse.limits
    FOR EACH ROW EXECUTE FUNCTION rowhouse.notify_limits();
