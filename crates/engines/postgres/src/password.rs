use std::path::PathBuf;

/// The password that Postgres' own clients would take: from the file that `PGPASSFILE` names, or else from `.pgpass` at
/// home. Each of its lines is `HOST:PORT:DATABASE:USER:PASSWORD`, where `*` stands for any.
pub(crate) fn from_passfile(hosts: &[(String, u16)], database: &str, user: Option<&str>) -> Option<String> {
    let file = std::env::var_os("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass")))?;
    if is_open_to_others(&file) {
        tracing::warn!(file = %file.display(), "the passwords in this file are not used: others may read it");
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    hosts.iter().find_map(|(host, port)| find(&text, host, *port, database, user))
}

fn is_open_to_others(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o077 != 0)
}

fn find(text: &str, host: &str, port: u16, database: &str, user: Option<&str>) -> Option<String> {
    // Sockets in folders go by the name of the machine that they are on.
    let host = if host.starts_with('/') { "localhost" } else { host };
    let port = port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let parts = split(line);
        let [a, b, c, d, password] = parts.as_slice() else { return None };
        let asked = [(a, Some(host)), (b, Some(&port)), (c, Some(database)), (d, user)];
        let all = asked.iter().all(|(part, own)| *part == "*" || own.is_none_or(|own| own == part.as_str()));
        all.then(|| password.clone())
    })
}

/// The parts of a line, in which a backslash takes away the meaning of the character behind it.
fn split(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let taken = match character {
            ':' => {
                parts.push(String::new());
                continue;
            }
            '\\' => characters.next(),
            other => Some(other),
        };
        if let (Some(part), Some(taken)) = (parts.last_mut(), taken) {
            part.push(taken);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# a:1:e:me:no\nb:*:e:me:one\na:5432:*:me:t\\:w\\\\o\n*:*:*:*:any\nbroken:line\n";
        let found = |host, port, user| find(text, host, port, "e", Some(user));
        assert_eq!(found("b", 1, "me").as_deref(), Some("one"));
        assert_eq!(found("a", 5_432, "me").as_deref(), Some("t:w\\o"));
        assert_eq!(found("a", 1, "you").as_deref(), Some("any"));
        assert_eq!(find("a:1:e:me:x", "b", 1, "e", Some("me")), None);
    }
}
