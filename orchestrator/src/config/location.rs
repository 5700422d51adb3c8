//! Where a project begins, and where a person's data are without one.

use std::path::{Path, PathBuf};

/// The nearest folder at or above `start` that is a repository's root (it holds `.git`).
pub fn project_root(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?;
    start.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_path_buf)
}

/// `$XDG_DATA_HOME/dagbook`, else `~/.local/share/dagbook`.
pub fn user_data_folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))?;
    Some(base.join("dagbook"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_repository_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).expect("folders");
        std::fs::create_dir(folder.path().join(".git")).expect("a repository");
        assert_eq!(project_root(&inner), Some(folder.path().to_path_buf()));
        std::fs::write(folder.path().join("a/.git"), "gitdir: x").expect("a worktree");
        assert_eq!(project_root(&inner), Some(folder.path().join("a")));
    }

    #[test]
    fn the_user_folder_needs_an_absolute_home() {
        let home = |name: &str| (name == "HOME").then(|| "/home/x".to_string());
        assert_eq!(user_data_folder(home), Some("/home/x/.local/share/dagbook".into()));
        let relative = |name: &str| (name == "HOME").then(|| "x".to_string());
        assert_eq!(user_data_folder(relative), None);
        assert_eq!(user_data_folder(|_| Some("/data".to_string())), Some("/data/dagbook".into()));
    }
}
