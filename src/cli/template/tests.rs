//! Tables of templates and what they print.

use serde_json::{Value, json};

use super::{Template, unescape};

fn data() -> Value {
    json!({
        "Name": "/web", "Id": "0123456789abcdef", "Count": 3, "Size": 2.5, "Running": true, "Error": "", "None": null,
        "State": {"Status": "running", "ExitCode": 0, "Pid": 77},
        "Config": {
            "Env": ["PATH=/bin", "A=1"],
            "Labels": {"com.example.team": "core", "tier": "back"},
            "Empty": [],
        },
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": null}},
        "Mounts": [
            {"Source": "/a", "Destination": "/b", "RW": true},
            {"Source": "/c", "Destination": "/d", "RW": false},
        ],
    })
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let rendered = Template::parse(text).and_then(|template| template.render(&data()));
    assert_eq!(rendered.as_deref(), Ok(expected), "{text}");
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let rendered = Template::parse(text).and_then(|template| template.render(&data()));
    let said = rendered.expect_err(text).to_string();
    assert_eq!(said, format!("template, {expected}"), "{text}");
}

#[test]
fn fields_and_whole_values() {
    for (text, expected) in [
        ("", ""),
        ("only text", "only text"),
        ("{{.Name}}", "/web"),
        ("{{ .State.Status }}!", "running!"),
        ("{{.Count}} {{.Size}} {{.Running}}", "3 2.5 true"),
        ("{{.Config.Env}}", "[PATH=/bin A=1]"),
        ("{{.Config.Labels}}", "map[com.example.team:core tier:back]"),
        ("{{.Config.Labels.tier}} {{.Config.Labels.none}}", "back <no value>"),
        ("{{.None}}", "<no value>"),
        ("{{(.State).Pid}}", "77"),
        ("{{$.State.Pid}}", "77"),
        ("{{json .State}}", r#"{"ExitCode":0,"Pid":77,"Status":"running"}"#),
        ("{{json .None}} {{json .Name}} {{.Config.Env | json}}", r#"null "/web" ["PATH=/bin","A=1"]"#),
        ("{{\"a\\tb\\\"\"}}{{`raw\\n`}}{{'x'}}", "a\tb\"raw\\n120"),
        ("{{true}} {{-7}} {{0x10}} {{1.50}}", "true -7 16 1.5"),
        ("{ {x} }", "{ {x} }"),
    ] {
        check(text, expected);
    }
}

#[test]
fn blocks() {
    for (text, expected) in [
        ("{{if .Running}}up{{end}}", "up"),
        ("{{if .Error}}bad{{else}}good{{end}}", "good"),
        ("{{if eq .Count 1}}one{{else if eq .Count 3}}three{{else}}many{{end}}", "three"),
        ("{{if .None}}a{{else if .Error}}b{{else}}c{{end}}", "c"),
        ("{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}", "/a:/b /c:/d "),
        ("{{range $i, $v := .Config.Env}}{{$i}}={{$v}};{{end}}", "0=PATH=/bin;1=A=1;"),
        ("{{range $v := .Config.Env}}{{$v}} {{$.Name}};{{end}}", "PATH=/bin /web;A=1 /web;"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}->{{$v}} {{end}}", "com.example.team->core tier->back "),
        ("{{range .Config.Empty}}x{{else}}nothing{{end}}", "nothing"),
        ("{{range .None}}x{{end}}", ""),
        ("{{range .Config.Env}}{{if eq . \"A=1\"}}{{break}}{{end}}{{.}}{{end}}", "PATH=/bin"),
        ("{{range .Config.Env}}{{if ne . \"A=1\"}}{{continue}}{{end}}{{.}}{{end}}", "A=1"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{with .State}}{{.Status}} {{$.Name}}{{end}}", "running /web"),
        ("{{with .Error}}x{{else}}none{{end}}", "none"),
        ("{{with .Error}}x{{else with .State}}{{.Pid}}{{end}}", "77"),
        ("{{with $x := .Count}}{{$x}}{{end}}", "3"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
        ("{{$n := 0}}{{range .Config.Env}}{{$n = .}}{{end}}{{$n}}", "A=1"),
        ("a {{- .Count -}} b", "a3b"),
        ("a {{- /* a comment */ -}} b", "ab"),
        ("a {{/* a comment */}} b", "a  b"),
        ("{{range .Mounts -}}\n {{.Source}}\n{{- end}}", "/a/c"),
        (
            "{{range $p, $conf := .NetworkSettings.Ports}}{{$p}} -> {{if $conf}}{{(index $conf 0).HostPort}}{{end}} {{end}}",
            "443/tcp ->  80/tcp -> 8080 ",
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn functions_and_pipelines() {
    for (text, expected) in [
        ("{{join .Config.Env \", \"}}", "PATH=/bin, A=1"),
        ("{{split \"a,b,c\" \",\"}} {{index (split .Name \"/\") 1}}", "[a b c] web"),
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"hello big world\"}}", "/WEB abc Hello Big World"),
        ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
        ("{{slice .Id 0 12}} {{slice .Id 13}} {{slice .Config.Env 1}}", "0123456789ab def [A=1]"),
        ("{{truncate .Id 4}}|{{pad .Name 1 2}}|{{pad .Error 3 3}}|", "0123| /web  ||"),
        ("{{len .Config.Env}} {{len .Name}} {{len .Config.Labels}}", "2 4 2"),
        ("{{index .Config.Labels \"com.example.team\"}}|{{index .Config.Labels \"none\"}}|", "core||"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{index .Config.Env 1}} {{index .Mounts 1 \"Source\"}}", "A=1 /c"),
        ("{{eq .Count 3}} {{ne .Count 3}} {{eq .Name \"x\" \"/web\"}} {{eq .None nil}}", "true false true true"),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2.5 2}} {{lt \"a\" \"b\"}}", "true true false true true"),
        ("{{and .Running .Count}} {{and .Error .Count}}|{{or .Error .Count}} {{not .Error}}", "3 |3 true"),
        ("{{or .Running (index .Config.Env 99)}}", "true"),
        ("{{println .Name .Count}}{{print 1 2 \"a\" \"b\"}}", "/web 3\n1 2ab"),
        ("{{printf \"%s|%-6s|%6s|%.2s\" .Name .Name .Name .Name}}", "/web|/web  |  /web|/w"),
        (
            "{{printf \"%d %05d %x %+d %v %q %t %T\" 3 -42 255 7 .Config.Env .Name true .Count}}",
            "3 -0042 ff +7 [PATH=/bin A=1] \"/web\" true int",
        ),
        ("{{printf \"%.1f %e %g %%\" 2.25 1500.5 0.5}}", "2.2 1.500500e+03 0.5 %"),
        (
            "{{printf \"%d\" .Name}} {{printf \"%s\"}} {{printf \"x\" 1}}",
            "%!d(string=/web) %!s(MISSING) x%!(EXTRA int=1)",
        ),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_mistake_is_told_with_its_place() {
    for (text, expected) in [
        ("{{.Nme}}", "column 3: . has no field Nme: did you mean .Name?"),
        ("ä{{.State.Foo}}", "column 4: .State has no field Foo"),
        ("{{.Name.First}}", "column 3: .Name is a text, so it has no field First"),
        ("{{.None.First}}", "column 3: .None is nothing, so it has no field First"),
        ("{{.Name", "column 1: this {{ has no }}"),
        ("{{jsn .}}", "column 3: there is no function jsn: did you mean json?"),
        ("{{if .Name}}x", "column 1: this if has no {{end}}"),
        ("{{end}}", "column 1: this end belongs to no if, range or with"),
        ("{{if .Name}}{{else}}{{else}}{{end}}", "column 21: this if has a second else"),
        ("{{}}", "column 3: a value or a function is expected here"),
        ("{{$x}}", "column 3: there is no variable $x"),
        ("{{\"abc}}", "column 3: this text has no closing quote"),
        ("{{(len .Name}}", "column 3: this ( has no )"),
        ("{{.Name | .Id}}", "column 11: only a function can follow |"),
        ("{{.Name .Id}}", "column 9: a value takes no arguments: a function is expected before it"),
        ("{{len 3}}", "column 3: len: a number has no length"),
        ("{{index .Config.Env 9}}", "column 3: index: there is no element 9: the list has 2"),
        ("{{join .Name \",\"}}", "column 3: join: a list is expected, not a text"),
        ("{{lt 1 \"a\"}}", "column 3: lt: a number cannot be compared with a text"),
        ("{{upper}}", "column 3: upper: it cannot be used with 0 arguments"),
        ("{{range .Name}}{{end}}", "column 1: range cannot go over a text"),
        ("{{break}}", "column 1: break is outside of range"),
        ("{{template \"x\"}}", "column 1: template is not supported"),
        ("{{/* x }}", "column 1: this comment does not end in */}}"),
        ("{{12x}}", "column 3: \"12x\" is no number"),
        ("{{printf \"%9999d\" 1}}", "column 3: printf: a field is wider than 1000"),
        ("{{. ?}}", "column 5: '?' is not expected here"),
    ] {
        fails(text, expected);
    }
    let deep = "(".repeat(1000);
    fails(&format!("{{{{{deep}}}}}"), "column 67: nested more than 64 deep");
}

#[test]
fn escapes_are_replaced_outside_of_actions_only() {
    assert_eq!(unescape(r#"{{.ID}}\t{{printf "a\tb"}}\n"#), "{{.ID}}\t{{printf \"a\\tb\"}}\n");
    assert_eq!(unescape(r"a\tb {{ x"), "a\tb {{ x");
}
