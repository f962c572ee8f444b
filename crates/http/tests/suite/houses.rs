//! The houses of the crate know of one another what ARCHITECTURE.md says, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each house uses of the others, by module. What is below all of them (the settings, the metrics, the system) is nobody's.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "api -> delivery",
        &[
            "caching",
            "context",
            "encoding",
            "frames",
            "lease",
            "memory",
            "observer",
            "page",
            "parking",
            "pieces",
            "remainder",
        ],
    ),
    // What is kept for as long as an answer lasts, and how an answer that waits says so to its connection.
    ("api -> server", &["kept", "socket"]),
    // What a WebSocket of a shard knows of its client, and how it is told of a problem.
    ("delivery -> api", &["Api", "problem", "websocket"]),
    // The shards have TLS sockets and connections of HTTP/2, and what these may take.
    ("delivery -> server", &["permits", "socket", "tls"]),
    // What is served, and what is said where a request does not come to it.
    (
        "server -> api",
        &[
            "Api",
            "access",
            "authority",
            "client",
            "cors",
            "origin",
            "poll",
            "problem",
            "read",
            "reply",
            "status",
        ],
    ),
    ("server -> delivery", &["head", "memory", "parking"]),
    // The types of some settings.
    ("ground -> api", &["client", "cors", "hosts", "relay"]),
];

const HOUSES: [&str; 3] = ["api", "delivery", "server"];

/// The sources of a folder, by their path below `src`, without what is there for tests alone.
fn sources(folder: &Path, under: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{under}{}", path.file_stem().unwrap().to_str().unwrap());
        if path.is_dir() {
            sources(&path, &format!("{name}/"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.insert(name, code.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// The paths that follow `crate::` in a text: of a list in braces, each.
fn paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let end = |rest: &str| {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len())
        };
        match rest.strip_prefix('{') {
            None => paths.push(rest[..end(rest)].to_owned()),
            Some(list) => {
                // A list in a list is of the same module as what stands before it.
                let (mut depth, mut begin) = (1, 0);
                for (at, sign) in list.char_indices() {
                    match sign {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => {}
                        _ => continue,
                    }
                    if depth == 0 || (sign == ',' && depth == 1) {
                        let part = list[begin..at].trim();
                        if !part.is_empty() {
                            paths.push(part[..end(part)].to_owned());
                        }
                        begin = at + 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    paths
}

/// Which house a name of the crate's root is of, and which of its modules.
fn exported(root: &str) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for statement in root.split("pub use ").skip(1) {
        let statement = statement.split(';').next().unwrap();
        let (module, names) = statement.rsplit_once("::").unwrap();
        for name in names.trim_matches(['{', '}']).split(',') {
            exported.insert(name.trim().to_owned(), module.to_owned());
        }
    }
    exported
}

#[test]
fn the_houses_use_of_one_another_what_is_said() {
    let mut files = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    let roots = exported(&files["lib"]);
    let house = |path: &str| HOUSES.into_iter().find(|house| path.split(['/', ':']).next() == Some(house));
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in files.iter().filter(|(file, _)| !["lib", "fuzzing"].contains(&file.as_str())) {
        if file.ends_with("/tests")
            || file.ends_with("/testing")
            || file.contains("/model")
            || file.ends_with("/autobahn")
        {
            continue;
        }
        for path in paths(text) {
            let path = match roots.get(path.split("::").next().unwrap()) {
                Some(module) => format!("{module}::{path}"),
                None => path,
            };
            let (from, Some(to)) = (house(file).unwrap_or("ground"), house(&path)) else { continue };
            if from != to {
                let module = path.split("::").nth(1).unwrap_or_default().to_owned();
                arrows.entry(format!("{from} -> {to}")).or_default().insert(module);
            }
        }
    }
    let expected: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(arrow, modules)| ((*arrow).to_owned(), modules.iter().map(|own| (*own).to_owned()).collect()))
        .collect();
    assert_eq!(arrows, expected, "left: what there is; right: what tests/suite/houses.rs allows");
}
