//! Downloads packages, of arm64 as a rule, by the host's own `apt-get`, without root and with lists and caches of
//! its own: the host's package state stays as it is.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A private state of apt's in a folder.
#[derive(Debug)]
pub struct Apt {
    dir: PathBuf,
    machine: String,
}

impl Apt {
    /// Prepares `dir` with the sources found in `etc` (`/etc/apt`), for another release than the host's if `release`
    /// is not empty. Fails if a file cannot be read or written.
    pub fn of_release(dir: &Path, etc: &Path, release: &str) -> io::Result<Apt> {
        for sub in ["lists/partial", "archives/partial", "sources"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        fs::write(dir.join("status"), "")?;
        for (name, text) in sources(etc)? {
            let text = if release.is_empty() { text } else { text.lines().map(|l| of_release(l, release)).collect() };
            fs::write(dir.join("sources").join(name), text)?;
        }
        Ok(Apt { dir: dir.to_path_buf(), machine: "arm64".into() })
    }

    /// The same for the packages of another machine than arm64, of the host's release.
    pub fn of_machine(dir: &Path, etc: &Path, machine: &str) -> io::Result<Apt> {
        Ok(Apt { machine: machine.into(), ..Apt::of_release(dir, etc, "")? })
    }

    fn command(&self, tool: &str) -> Command {
        let at = |sub: &str| self.dir.join(sub).display().to_string();
        let options = [
            ("Dir::State", self.dir.display().to_string()),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", at("status")),
            ("Dir::Cache", self.dir.display().to_string()),
            ("Dir::Etc::sourcelist", "/dev/null".into()),
            ("Dir::Etc::sourceparts", at("sources")),
            ("APT::Architecture", self.machine.clone()),
            ("APT::Architectures", self.machine.clone()),
            // Only root would change to another user, who must not write here.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
            ("Acquire::Retries", "2".into()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
        ];
        let mut command = Command::new(tool);
        command.args(options.iter().flat_map(|(name, value)| ["-o".to_string(), format!("{name}={value}")]));
        command.current_dir(&self.dir).stdin(Stdio::null()).env("LC_ALL", "C");
        command
    }

    /// Fetches the lists. A source that has nothing for arm64 is no failure: what matters is the download.
    pub fn update(&self) -> Result<(), String> {
        run(self.command("apt-get").args(["-q", "update"])).map(drop).or_else(|why| match why {
            Failure::Start(why) => Err(why),
            Failure::Status(_) => Ok(()),
        })
    }

    /// The package that a metapackage stands for, its first dependency with that prefix; or `package` itself if it
    /// has none.
    pub fn resolve(&self, package: &str, prefix: &str) -> Result<String, String> {
        let text =
            run(self.command("apt-cache").args(["show", "--no-all-versions", package])).map_err(Failure::text)?;
        Ok(dependency(&text, prefix).unwrap_or_else(|| package.to_string()))
    }

    /// The folder with the lists of sources, as they may be put into a system's `/etc/apt/sources.list.d`.
    pub fn sources(&self) -> PathBuf {
        self.dir.join("sources")
    }

    /// Downloads packages and all that they depend on; patterns of apt's are allowed. Gives the files.
    /// Fails with what apt said.
    pub fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>, String> {
        let mut command = self.command("apt-get");
        // Without a package installed there is nothing to lock; the locks belong to root.
        command.args(["-q", "-y", "-o", "Debug::NoLocking=true", "-o", "APT::Install-Recommends=false"]);
        command.args(["install", "--download-only"]).args(packages);
        run(&mut command).map_err(Failure::text)?;
        let archives = self.dir.join("archives");
        let list = fs::read_dir(&archives).map_err(|e| format!("{}: {e}", archives.display()))?;
        let mut files: Vec<PathBuf> = list.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "deb"));
        files.sort();
        Ok(files)
    }

    /// Downloads a package and unpacks it into `into`.
    pub fn unpack(&self, package: &str, into: &Path) -> Result<(), String> {
        let dir = self.dir.join(package);
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut command = self.command("apt-get");
        run(command.args(["-q", "download", package]).current_dir(&dir)).map_err(Failure::text)?;
        let list = fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut files = list.flatten().map(|entry| entry.path());
        let file = files.find(|path| path.extension().is_some_and(|e| e == "deb"));
        let file = file.ok_or_else(|| format!("apt-get downloaded no {package}"))?;
        run(Command::new("dpkg-deb").arg("-x").args([&file, into])).map_err(Failure::text)?;
        fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))
    }
}

/// Why a tool did not do its work.
enum Failure {
    /// It could not be started.
    Start(String),
    /// It said so.
    Status(String),
}

impl Failure {
    fn text(self) -> String {
        match self {
            Failure::Start(text) | Failure::Status(text) => text,
        }
    }
}

/// Runs a command to its end; gives its output.
fn run(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::Start(format!("there is no {name} here")),
        _ => Failure::Start(format!("{name}: {e}")),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let said = text.lines().find(|line| line.starts_with("E:")).or(text.lines().last()).unwrap_or("no reason given");
    Err(Failure::Status(format!("{name} failed: {}", said.trim_start_matches("E:").trim())))
}

/// The host's sources that are Debian archives, for every architecture; all sources if none is.
fn sources(etc: &Path) -> io::Result<Vec<(String, String)>> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(parts) = fs::read_dir(etc.join("sources.list.d")) {
        files.extend(parts.flatten().map(|entry| entry.path()));
    }
    let (mut archives, mut others) = (Vec::new(), Vec::new());
    for path in files {
        let deb822 = path.extension().is_some_and(|e| e == "sources");
        let list = path.extension().is_some_and(|e| e == "list");
        let Some(name) = path.file_name().filter(|_| deb822 || list) else { continue };
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let entries = if deb822 { stanzas(&text) } else { lines(&text) };
        let separator = if deb822 { "\n\n" } else { "\n" };
        for (wanted, file) in [(true, &mut archives), (false, &mut others)] {
            let kept: Vec<&str> = entries.iter().filter(|e| is_archive(e) == wanted).map(String::as_str).collect();
            if !kept.is_empty() {
                file.push((name.to_string_lossy().into_owned(), kept.join(separator) + "\n"));
            }
        }
    }
    Ok(if archives.is_empty() { others } else { archives })
}

/// Does a source entry lead to a Debian archive? By convention those are at `.../debian*`.
fn is_archive(entry: &str) -> bool {
    let uris = entry.split_whitespace().filter(|word| word.contains(":/"));
    uris.map(|uri| uri.trim_end_matches('/')).any(|uri| uri.rsplit('/').next().is_some_and(|n| n.starts_with("debian")))
}

/// A line of a source with its suites exchanged for those of `release`, ended.
fn of_release(line: &str, release: &str) -> String {
    let suite = |word: &str| match word.split_once('-') {
        Some((_, pocket)) => format!("{release}-{pocket}"),
        None => release.to_string(),
    };
    let mut words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    if line.starts_with("Suites:") {
        words.iter_mut().skip(1).for_each(|w| *w = suite(w));
    } else if line.starts_with("deb ") {
        let uri = words.iter().position(|w| w.contains(":/"));
        if let Some(word) = uri.and_then(|i| words.get_mut(i + 1)) {
            *word = suite(word);
        }
    } else {
        return format!("{line}\n");
    }
    words.join(" ") + "\n"
}

/// The entries of a deb822 file, without comments and restrictions to architectures.
fn stanzas(text: &str) -> Vec<String> {
    let mut stanzas = vec![String::new()];
    let mut dropping = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if line.trim().is_empty() {
            stanzas.push(String::new());
            continue;
        }
        let continues = line.starts_with([' ', '\t']);
        dropping = if continues { dropping } else { line.to_ascii_lowercase().starts_with("architectures") };
        if let Some(stanza) = stanzas.last_mut().filter(|_| !dropping) {
            stanza.push_str(line);
            stanza.push('\n');
        }
    }
    stanzas.retain(|stanza| !stanza.is_empty());
    stanzas.iter_mut().for_each(|stanza| *stanza = stanza.trim_end().to_string());
    stanzas
}

/// The entries of a one-line file, likewise.
fn lines(text: &str) -> Vec<String> {
    let entries = text.lines().map(str::trim).filter(|line| line.starts_with("deb "));
    entries.map(without_architectures).collect()
}

/// Takes `arch=...` out of `deb [options] uri suite components`.
fn without_architectures(line: &str) -> String {
    let Some((before, rest)) = line.split_once('[') else { return line.to_string() };
    let Some((options, after)) = rest.split_once(']') else { return line.to_string() };
    let kept: Vec<&str> = options.split_whitespace().filter(|option| !option.starts_with("arch")).collect();
    match kept.is_empty() {
        true => format!("{before}{}", after.trim_start()),
        false => format!("{before}[{}]{after}", kept.join(" ")),
    }
}

/// The first dependency of a package record whose name starts so.
fn dependency(record: &str, prefix: &str) -> Option<String> {
    let depends = record.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|item| item.split_whitespace().next());
    names.map(|name| name.split(':').next().unwrap_or(name)).find(|name| name.starts_with(prefix)).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release() {
        let of = |line| of_release(line, "trixie");
        assert_eq!(of("Suites: bookworm bookworm-updates"), "Suites: trixie trixie-updates\n");
        assert_eq!(
            of("deb [signed-by=/x] http://e.example/debian a-security main b"),
            "deb [signed-by=/x] http://e.example/debian trixie-security main b\n"
        );
        assert_eq!(of("Components: main"), "Components: main\n");
    }

    #[test]
    fn metapackages() {
        let record = "Package: linux-image-cloud-arm64\nVersion: 6.1\nDepends: foo (>= 1), linux-image-6.1.0-9-cloud-arm64 (= 6.1.1)\n";
        assert_eq!(dependency(record, "linux-image-").as_deref(), Some("linux-image-6.1.0-9-cloud-arm64"));
        assert_eq!(dependency(record, "bar"), None);
        assert_eq!(dependency("Package: x\n", ""), None);
    }

    #[test]
    fn sources_lose_their_architectures() {
        let text = "# mine\nTypes: deb\nURIs: http://mirror.example/debian/\nArchitectures: amd64\n i386\nSuites: x\n\n\nTypes: deb\nURIs: http://e.example/other\n";
        let found = stanzas(text);
        assert_eq!(found[0], "Types: deb\nURIs: http://mirror.example/debian/\nSuites: x");
        assert_eq!((found.len(), is_archive(&found[0]), is_archive(&found[1])), (2, true, false));
        let text = "deb [arch=amd64 signed-by=/k] http://e.example/debian-security x main\n#deb y\ndeb [arch=amd64] http://e.example/a x\ndeb http://e.example/b x";
        let found = lines(text);
        assert_eq!(found[0], "deb [signed-by=/k] http://e.example/debian-security x main");
        assert_eq!(found[1..], ["deb http://e.example/a x", "deb http://e.example/b x"]);
        assert!(is_archive(&found[0]) && !is_archive(&found[1]));
    }

    #[test]
    fn only_archives_are_asked_if_there_are_any() {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir(etc.path().join("sources.list.d")).unwrap();
        fs::write(etc.path().join("sources.list"), "deb http://e.example/tool x main\n").unwrap();
        assert_eq!(sources(etc.path()).unwrap().len(), 1);
        fs::write(etc.path().join("sources.list.d/d.sources"), "URIs: http://e.example/debian\n").unwrap();
        fs::write(etc.path().join("sources.list.d/d.sources.bak"), "URIs: http://e.example/debian\n").unwrap();
        let found = sources(etc.path()).unwrap();
        assert_eq!(found, [("d.sources".to_string(), "URIs: http://e.example/debian\n".to_string())]);
        assert_eq!(sources(Path::new("/nonexistent")).unwrap(), []);
    }

    #[test]
    fn failures_are_one_line() {
        let missing = run(&mut Command::new("/nonexistent/tool")).err().map(Failure::text);
        assert_eq!(missing.as_deref(), Some("there is no /nonexistent/tool here"));
        let failing = run(Command::new("sh").args(["-c", "echo W: x >&2; echo E: because >&2; echo y >&2; exit 1"]));
        assert_eq!(failing.err().map(Failure::text).as_deref(), Some("sh failed: because"));
    }
}
