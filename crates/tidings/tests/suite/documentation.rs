//! What the documentation shows, done: the commands of the README in its order, against hubs, and its programs for browsers
//! compiled. Its Rust is compiled by the documentation tests of the library, and settings by those of the program.

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

#[tokio::test]
async fn the_readme_does_what_it_says() {
    if tools::program(&["curl"]).is_none() || tools::program(&["openssl"]).is_none() {
        return;
    }
    let mut session = Session::new(Path::new(REPOSITORY));
    let mut count = 0;
    for block in markdown::blocks(README) {
        match block.language {
            "console" => {
                session.run(&block).await;
                count += 1;
            }
            // These have tests of their own.
            "rust,no_run" | "ts" | "js" => {}
            other => panic!("README.md, line {}: nothing here tries a block of `{other}`", block.line),
        }
    }
    assert!(count > 5, "the README has lost its commands");
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
    let blocks = markdown::blocks(README).into_iter().filter(|block| matches!(block.language, "ts" | "js"));
    for block in blocks {
        let name = format!("line-{}.m{}", block.line, block.language);
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
