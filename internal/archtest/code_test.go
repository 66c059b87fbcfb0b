package archtest

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// Nothing happens because a package was imported.
func TestNoInit(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		for _, f := range p.files {
			if ast.IsGenerated(f) {
				continue // ent's init is generated
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: there is an init function", p.fset.Position(fn.Pos()))
				}
			}
		}
	}
}

// Every package says what it is, and every exported name of a public package what
// it does.
func TestDocumented(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if !p.core || len(p.files) == 0 {
			continue
		}
		documented := false
		for _, f := range p.files {
			documented = documented || f.Doc != nil
			if strings.HasPrefix(p.dir, "internal/") {
				continue
			}
			for _, d := range f.Decls {
				for _, name := range undocumented(d) {
					t.Errorf("%s: %s has no documentation", p.fset.Position(name.Pos()), name.Name)
				}
			}
		}
		if !documented {
			t.Errorf("package %s has no documentation", p.dir)
		}
	}
}

// undocumented lists the exported names of a declaration that have no comment, nor
// one for their group.
func undocumented(d ast.Decl) []*ast.Ident {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || receiver(d.Recv).IsExported()) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		var names []*ast.Ident
		for _, spec := range d.Specs {
			names = append(names, undocumentedSpec(d, spec)...)
		}
		return names
	}
	return nil
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) (names []*ast.Ident) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || d.Lparen != token.NoPos) {
			return []*ast.Ident{spec.Name}
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(list *ast.FieldList) *ast.Ident {
	typ := list.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t
		default:
			return ast.NewIdent("_")
		}
	}
}
