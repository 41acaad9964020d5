package corpus

import (
	"bytes"
	"errors"
	"go/ast"
	"go/build"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"strings"
)

// maxSignature bounds a signature in bytes: some generated declarations are
// pages long.
const maxSignature = 400

// reader collects the entries of one package.
type reader struct {
	fset  *token.FileSet
	path  string
	pkg   *doc.Package
	since history
	// synopsis is the first sentence of the package's comment.
	synopsis string
	entries  []Entry
}

// readPackage reads one package; one without files for the platform gives no
// entries.
func readPackage(root, importPath string, since history) ([]Entry, error) {
	dir := filepath.Join(root, "src", filepath.FromSlash(importPath))
	info, err := platform(root).ImportDir(dir, build.ImportComment)
	if _, none := errors.AsType[*build.NoGoError](err); none {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range append(info.GoFiles, info.CgoFiles...) {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, importPath, doc.AllDecls)
	if err != nil {
		return nil, err
	}
	r := &reader{fset: fset, path: importPath, pkg: pkg, since: since, synopsis: pkg.Synopsis(pkg.Doc)}
	r.readAll()
	return r.entries, nil
}

func (r *reader) readAll() {
	r.add(KindPackage, "", "package "+r.pkg.Name, r.pkg.Doc)
	r.values(KindConst, r.pkg.Consts)
	r.values(KindVar, r.pkg.Vars)
	r.funcs(r.pkg.Funcs)
	for _, t := range r.pkg.Types {
		r.add(KindType, t.Name, r.typeSignature(t), t.Doc)
		r.values(KindConst, t.Consts)
		r.values(KindVar, t.Vars)
		r.funcs(t.Funcs)
		r.methods(t)
		r.members(t)
	}
}

// add enters what has a comment. symbol is "" for the package itself.
func (r *reader) add(kind, symbol, signature, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	e := Entry{
		Kind: kind, Package: r.pkg.Name, ImportPath: r.path, Name: r.pkg.Name,
		Signature: shorten(signature), Text: text, Synopsis: r.synopsis, Exported: true,
	}
	if symbol != "" {
		e.Name += "." + symbol
	}
	for part := range strings.SplitSeq(symbol, ".") {
		e.Exported = e.Exported && (part == "" || ast.IsExported(part))
	}
	for part := range strings.SplitSeq(r.path, "/") {
		e.Exported = e.Exported && part != "internal"
	}
	e.Since, e.Minor = r.since.release(r.path, symbol)
	r.entries = append(r.entries, e)
}

// values enters groups of constants or variables, and the members that have
// comments of their own.
func (r *reader) values(kind string, groups []*doc.Value) {
	for _, g := range groups {
		signature := kind + " " + strings.Join(g.Names, ", ")
		if len(g.Names) > 0 {
			r.add(kind, g.Names[0], signature, g.Doc)
		}
		for _, spec := range g.Decl.Specs {
			s, ok := spec.(*ast.ValueSpec)
			if !ok || len(s.Names) == 0 || len(g.Decl.Specs) == 1 {
				continue
			}
			r.add(kind, s.Names[0].Name, kind+" "+r.print(s), s.Doc.Text()+s.Comment.Text())
		}
	}
}

func (r *reader) funcs(funcs []*doc.Func) {
	for _, f := range funcs {
		r.add(KindFunc, f.Name, r.funcSignature(f.Decl), f.Doc)
	}
}

func (r *reader) methods(t *doc.Type) {
	for _, m := range t.Methods {
		if m.Level == 0 { // not promoted from an embedded type
			r.add(KindMethod, t.Name+"."+m.Name, r.funcSignature(m.Decl), m.Doc)
		}
	}
}

// members enters the documented fields of a struct and methods of an interface.
func (r *reader) members(t *doc.Type) {
	for _, spec := range t.Decl.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok || ts.Name.Name != t.Name {
			continue
		}
		kind, list := KindField, (*ast.FieldList)(nil)
		switch x := ts.Type.(type) {
		case *ast.StructType:
			list = x.Fields
		case *ast.InterfaceType:
			kind, list = KindMethod, x.Methods
		}
		if list == nil {
			continue
		}
		for _, f := range list.List {
			for _, name := range f.Names {
				r.add(kind, t.Name+"."+name.Name, t.Name+"."+name.Name+" "+r.print(f.Type), f.Doc.Text()+f.Comment.Text())
			}
		}
	}
}

func (r *reader) typeSignature(t *doc.Type) string {
	for _, spec := range t.Decl.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok || ts.Name.Name != t.Name {
			continue
		}
		switch ts.Type.(type) {
		case *ast.StructType:
			return "type " + t.Name + " struct"
		case *ast.InterfaceType:
			return "type " + t.Name + " interface"
		default:
			return "type " + t.Name + " " + r.print(ts.Type)
		}
	}
	return "type " + t.Name
}

func (r *reader) funcSignature(d *ast.FuncDecl) string {
	head := *d
	head.Doc, head.Body = nil, nil
	return r.print(&head)
}

// print returns source code without comments on one line.
func (r *reader) print(node any) string {
	if s, ok := node.(*ast.ValueSpec); ok {
		bare := *s
		bare.Doc, bare.Comment = nil, nil
		node = &bare
	}
	var out bytes.Buffer
	if err := (&printer.Config{Mode: printer.RawFormat}).Fprint(&out, r.fset, node); err != nil {
		return ""
	}
	return strings.Join(strings.Fields(out.String()), " ")
}

// shorten cuts a text at a character boundary.
func shorten(s string) string {
	if len(s) <= maxSignature {
		return s
	}
	return strings.ToValidUTF8(s[:maxSignature], "") + " …"
}
