use tidings_engine::InvalidAddress;

/// The schema that holds a log, and what follows from its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema(String);

/// The first part of the advisory locks, which nobody else will take by accident.
const CLASS: i32 = 0x7469_6469;
/// What Postgres makes of a longer name is another name; the channel is a little longer than the schema.
const LONGEST: usize = 48;

// === impl Schema ===

impl Schema {
    pub(crate) fn new(name: &str) -> Result<Self, InvalidAddress> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if !begins || name.len() > LONGEST || name.starts_with("pg_") || !name.chars().all(fits) {
            return Err(InvalidAddress::new(
                "`schema` is a name of lower-case letters, digits and `_`, at most 48, that does not begin with a digit or `pg_`",
            ));
        }
        Ok(Self(format!("\"{name}\"")))
    }

    /// The name, as it stands in statements.
    pub(crate) fn quoted(&self) -> &str {
        &self.0
    }

    /// The name itself, which needs no escape anywhere.
    pub(crate) fn name(&self) -> &str {
        self.0.trim_matches('"')
    }

    /// What hubs listen to.
    pub(crate) fn channel(&self) -> String {
        format!("tidings_{}", self.name())
    }

    /// Puts the name and what follows from it into a text of SQL.
    pub(crate) fn fill(&self, sql: &str) -> String {
        sql.replace("{schema}", self.quoted())
            .replace("{channel}", &self.channel())
            .replace("{class}", &CLASS.to_string())
            .replace("{key}", &crc32c::crc32c(self.name().as_bytes()).cast_signed().to_string())
    }
}
