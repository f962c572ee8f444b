//! What the documentation shows, done: the commands of the README and of docs/llm.md in their order, against hubs, and the README's
//! programs for browsers compiled. Its Rust is compiled by the documentation tests of the library, and settings by those of the program.

mod markdown;
mod session;

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use self::session::Session;
use crate::support::hub::room;
use crate::support::{tools, within};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const README: &str = include_str!("../../../../README.md");
const LLM: &str = include_str!("../../../../docs/llm.md");

#[tokio::test]
async fn the_readme_does_what_it_says() {
    assert!(follow("README.md", README).await > 5, "the README has lost its commands");
}

#[tokio::test]
async fn a_chat_by_hand_does_what_it_says() {
    assert!(follow("docs/llm.md", LLM).await > 4, "the page has lost its commands");
}

/// Does what a page says, in its order, and says how many blocks of commands it has.
async fn follow(page: &'static str, text: &str) -> usize {
    if tools::program(&["curl"]).is_none() || tools::program(&["openssl"]).is_none() {
        return usize::MAX;
    }
    let mut session = Session::new(page, Path::new(REPOSITORY));
    let mut count = 0;
    for block in markdown::blocks(text) {
        match block.language {
            "console" => {
                session.run(&block).await;
                count += 1;
            }
            // These have tests of their own.
            "rust,no_run" | "ts" | "js" => {}
            other => panic!("{page}, line {}: nothing here tries a block of `{other}`", block.line),
        }
    }
    count
}

const TRANSPORTS: &str = include_str!("../../../../docs/transports.md");

/// Each way to read, as the page about them shows it.
#[tokio::test]
async fn the_page_about_transports_does_what_it_says() {
    if tools::program(&["curl"]).is_none() {
        return;
    }
    let mut session = Session::new("docs/transports.md", Path::new(REPOSITORY));
    let mut count = 0;
    for block in markdown::blocks(TRANSPORTS).iter().filter(|block| block.language == "console") {
        session.run(block).await;
        count += 1;
    }
    assert!(count >= 5, "the page has lost its commands: {count}");
}

/// Pages whose blocks are read here as far as they are in a language of data.
const PAGES: [(&str, &str); 6] = [
    ("protocol.md", include_str!("../../../../docs/protocol.md")),
    ("operations.md", include_str!("../../../../docs/operations.md")),
    ("engines.md", include_str!("../../../../docs/engines.md")),
    ("llm.md", LLM),
    ("console.md", include_str!("../../../../docs/console.md")),
    ("embedding.md", include_str!("../../../../docs/embedding.md")),
];

#[test]
fn json_in_the_documentation_is_json() {
    let mut count = 0;
    for (page, text) in PAGES {
        for block in markdown::blocks(text).iter().filter(|block| block.language == "json") {
            if let Err(error) = serde_json::from_str::<serde_json::Value>(&block.text) {
                panic!("docs/{page}, line {}: {error}", block.line);
            }
            count += 1;
        }
    }
    assert!(count > 1, "the documentation has lost its JSON");
}

/// The commands that pages show are such as the program takes: each flag is in the help of its command.
#[tokio::test]
async fn flags_in_the_documentation_are_flags() {
    let room = room();
    let mut helps = std::collections::HashMap::new();
    for command in ["serve", "relay", "publish", "subscribe", "topics", "health", "token", "bench", "compare"]
    {
        let help = crate::support::hub::command(room.path()).args([command, "--help"]).output();
        let help = within("the help", help).await.unwrap();
        helps.insert(command, String::from_utf8(help.stdout).unwrap());
    }
    let mut count = 0;
    for (page, text) in PAGES.into_iter().chain([("../README.md", README)]) {
        for (number, line) in (1..).zip(text.lines()) {
            // A command ends with its quotation, a pipe, or its line.
            for part in line.split("tidings ").skip(1) {
                let part = part.split(['`', '|', '&', ';', ')']).next().unwrap_or_default();
                let mut words = part.split_whitespace();
                let Some(help) = words.next().and_then(|command| helps.get(command)) else { continue };
                for flag in words.filter_map(|word| word.strip_prefix("--")).filter(|flag| !flag.is_empty()) {
                    let flag = flag.split('=').next().unwrap_or_default();
                    let named = help.contains(&format!("--{flag} "))
                        || help.contains(&format!("--{flag}\n"))
                        || help.contains(&format!("--{flag}["));
                    assert!(named, "docs/{page}, line {number}: there is no --{flag}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 10, "the documentation has lost its commands: {count}");
}

#[tokio::test]
async fn its_programs_for_browsers_are_well_typed() {
    let client = Path::new(REPOSITORY).join("clients/typescript");
    let compiler = client.join("node_modules/.bin/tsc");
    if tools::installed(&compiler).is_none() {
        return;
    }
    let room = room();
    let mut files = Vec::new();
    let pages = [("readme", README), ("transports", TRANSPORTS)];
    let blocks = pages
        .into_iter()
        .flat_map(|(page, text)| markdown::blocks(text).into_iter().map(move |block| (page, block)));
    for (page, block) in blocks.filter(|(_, block)| matches!(block.language, "ts" | "js")) {
        let name = format!("{page}-{}.m{}", block.line, block.language);
        std::fs::write(room.path().join(&name), block.text).unwrap();
        files.push(name);
    }
    assert!(files.len() >= 2, "the README has lost its programs");
    let settings = json!({
        "compilerOptions": {
            "target": "es2022", "module": "nodenext", "lib": ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
            "types": [], "strict": true, "noEmit": true, "allowJs": true, "checkJs": true,
            "moduleDetection": "force", "allowImportingTsExtensions": true,
            "paths": { "tidings": [client.canonicalize().unwrap().join("src/index.ts")] },
        },
        "files": files,
    });
    std::fs::write(room.path().join("tsconfig.json"), settings.to_string()).unwrap();
    let mut command = Command::new(compiler);
    command.arg("--project").arg(room.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = within("the compiler to end", command.output()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
