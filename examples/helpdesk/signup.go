package helpdesk

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rowhouse/rowhouse"
	"github.com/rowhouse/rowhouse/admin"
)

// profile is what the help desk itself keeps about a company, in the tenant's
// metadata.
type profile struct {
	// Accent is the name of the company's colour, one of accents.
	Accent string `json:"accent"`
}

// accents are the colours that a company can have; style.css knows them.
func accents() []string {
	return []string{"indigo", "sky", "teal", "emerald", "amber", "rose", "violet", "slate"}
}

// profileOf reads a company's profile. One that another program wrote may say
// anything.
func (a *app) profileOf(t *rowhouse.Tenant) profile {
	var p profile
	if err := t.DecodeMetadata(&p); err != nil {
		a.log.Warn("profile of a company", "error", err)
	}
	if !slices.Contains(accents(), p.Accent) {
		p.Accent = accents()[0]
	}
	return p
}

// companyCard is a company in the public site's list.
type companyCard struct {
	Name, Accent, Address, Domain string
}

// home is the public site's first page.
func (a *app) home(w http.ResponseWriter, r *http.Request) error {
	tenants, err := a.operator.Tenants(r.Context())
	if err != nil {
		return err
	}
	var cards []companyCard
	for _, t := range tenants {
		if t.IsActive() && t.Domain != "" {
			cards = append(cards, companyCard{t.Name, a.profileOf(t).Accent, address(r, t.Domain), t.Domain})
		}
	}
	a.render(w, r, http.StatusOK, "home", page{Title: "A help desk for every company", Data: cards})
	return nil
}

// signUpData is the sign-up form: what was typed, and what is wrong with it by
// the name of the field.
type signUpData struct {
	Name, Schema, Address, Accent string
	Errors                        map[string]string
	Accents                       []string
	Suffix                        string
}

func (a *app) signUpForm(w http.ResponseWriter, r *http.Request) error {
	a.renderSignUp(w, r, http.StatusOK, signUpData{Accent: accents()[0]})
	return nil
}

func (a *app) renderSignUp(w http.ResponseWriter, r *http.Request, status int, form signUpData) {
	form.Accents, form.Suffix = accents(), "."+publicHost
	a.render(w, r, status, "signup", page{Title: "Sign up a company", Data: form})
}

// signUp creates a company and leads to its desk.
func (a *app) signUp(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	form := readSignUp(r)
	form.check()
	if len(form.Errors) > 0 {
		a.renderSignUp(w, r, http.StatusUnprocessableEntity, form)
		return nil
	}
	tenant, err := a.operator.Create(r.Context(), admin.CreateParams{
		Name: form.Name, Schema: form.Schema, Domains: []string{form.Address + "." + publicHost}, Metadata: profile{Accent: form.Accent},
	})
	if err != nil {
		if form.explain(err); len(form.Errors) == 0 {
			return err
		}
		a.renderSignUp(w, r, http.StatusUnprocessableEntity, form)
		return nil
	}
	a.log.InfoContext(r.Context(), "company signed up", "schema", tenant.Schema, "domain", tenant.Domain)
	if err := a.await(r.Context(), tenant); err != nil {
		return err
	}
	http.Redirect(w, r, address(r, tenant.Domain), http.StatusSeeOther)
	return nil
}

// readSignUp reads the form. Fields that were left empty follow from the name,
// as the page's script does while it is typed.
func readSignUp(r *http.Request) signUpData {
	form := signUpData{
		Name:    strings.TrimSpace(r.PostFormValue("name")),
		Schema:  strings.TrimSpace(r.PostFormValue("schema")),
		Address: strings.ToLower(strings.TrimSpace(r.PostFormValue("address"))),
		Accent:  r.PostFormValue("accent"),
		Errors:  make(map[string]string),
	}
	form.Schema = cmp.Or(form.Schema, slug(form.Name, "_"))
	form.Address = cmp.Or(form.Address, slug(form.Name, "-"))
	if !slices.Contains(accents(), form.Accent) {
		form.Accent = accents()[0]
	}
	return form
}

// check notes what admin.Create would not be asked about: an address is more than
// letters before it is the name of a host, and empty fields are told all at once.
func (f *signUpData) check() {
	if f.Name == "" {
		f.explain(admin.ErrName)
	}
	if f.Schema == "" {
		f.explain(admin.ErrSchemaName)
	}
	if !isAddress(f.Address) {
		f.Errors["address"] = "Use letters, digits and hyphens, such as my-company."
	}
}

// explain puts an error of admin.Create beside the field that it is about. It
// leaves errors that are not the visitor's.
func (f *signUpData) explain(err error) {
	for _, rule := range []struct {
		err         error
		field, text string
	}{
		{admin.ErrName, "name", "Give the company a name of 1 to 100 characters."},
		{admin.ErrSchemaName, "schema", schemaRule(f.Schema)},
		{admin.ErrSchemaTaken, "schema", "Another company has this schema name already."},
		{admin.ErrSchemaExists, "schema", "The database has a schema of this name already, which is no company's."},
		{admin.ErrDomainTaken, "address", "Another company has this address already."},
		{rowhouse.ErrInvalidHost, "address", "This cannot be the name of a host."},
	} {
		if errors.Is(err, rule.err) {
			f.Errors[rule.field] = rule.text
		}
	}
}

// schemaRule says which rule a refused schema name breaks.
func schemaRule(schema string) string {
	switch {
	case schema == "":
		return "Choose a name for the schema: none follows from the company's."
	case len(schema) > 63:
		return "At most 63 characters, please."
	case !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(schema):
		return "It must start with a letter and only contain lowercase letters, numbers or underscores."
	}
	return "This name is reserved. Choose another, such as " + schema + "_desk."
}

// isAddress tells whether something can stand before the public host's name.
// Letters of any alphabet may: rowhouse brings them into the form that browsers
// send.
func isAddress(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \t\r\n./\\:@?#[]%\"'<>")
}

// slug makes a name for machines of one for people: lower case letters and
// digits of ASCII, and sep for all else. It is empty if nothing is left.
func slug(name, sep string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	s := strings.Join(words, sep)
	if s != "" && s[0] < 'a' {
		s = "c" + sep + s // 3M
	}
	return s
}

// await waits until a new company's address leads to it. Somebody may have tried
// the address before, and for an instant this process may remember that there was
// nobody.
func (a *app) await(ctx context.Context, t *rowhouse.Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := a.db.TenantByDomain(ctx, t.Domain)
		if !errors.Is(err, rowhouse.ErrUnknownTenant) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
