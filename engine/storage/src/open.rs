//! From the locations that people write to stores.
//!
//! | written | store |
//! |---|---|
//! | `/data/logs`, `data/logs`, `file:///data/logs` | [`DurableLocal`]; the folder is made |
//! | `abfs[s]://container@account.dfs.core.windows.net/p`, `az://container/p`, `https://account.blob.core.windows.net/container/p` | Azure Blob Storage; the container must exist |
//! | `wasb[s]://container@account.blob.core.windows.net/p` (HDInsight's older spelling) | the same, as `abfs[s]` |
//! | `memory://name/p` | memory, for tests: one store a name, as long as the process lives |
//!
//! Credentials for Azure come from the environment only (`AZURE_STORAGE_ACCOUNT_KEY`, `AZURE_STORAGE_SAS_TOKEN`,
//! `AZURE_CLIENT_ID` with `AZURE_CLIENT_SECRET` and `AZURE_TENANT_ID`, a managed identity if there is none of them,
//! …): no location carries a secret, and what may be one is cut off in errors.

use crate::error::StoreError;
use crate::local::DurableLocal;
use crate::remote::Remote;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use url::Url;

/// Opens the store of a location. The returned path is where the location lies within the store.
///
/// No remote store is asked anything yet: a wrong key or a missing container shows at first use.
///
/// # Errors
/// When the location is not understood, or its folder can't be made.
pub fn open_store(location: &str) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
    match understand(location)? {
        Location::Folder(folder) => Ok((Arc::new(DurableLocal::open(folder)?), Path::default())),
        Location::Memory { name, prefix } => Ok((memory_store(&name), prefix)),
        Location::Azure(url) => {
            let (store, prefix) = object_store::parse_url_opts(&url, azure_environment())
                .map_err(|source| StoreError::Store { location: without_secrets(location), source })?;
            Ok((Arc::new(Remote(store)), prefix))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Location {
    Folder(PathBuf),
    Memory { name: String, prefix: Path },
    Azure(Url),
}

fn understand(location: &str) -> Result<Location, StoreError> {
    let invalid = |reason: String| StoreError::InvalidLocation { location: without_secrets(location), reason };
    if location.trim().is_empty() {
        return Err(invalid("it is empty; give a folder or a URL".into()));
    }
    if location.contains('\0') {
        return Err(invalid("it contains a zero byte".into()));
    }
    if !location.contains("://") && !location.starts_with("file:/") {
        return Ok(Location::Folder(PathBuf::from(location)));
    }
    let url = Url::parse(location).map_err(|error| invalid(format!("it is not a URL: {error}")))?;
    if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
        return Err(invalid(
            "a location has no password, query or fragment; put a SAS token into AZURE_STORAGE_SAS_TOKEN".into(),
        ));
    }
    match url.scheme() {
        "file" => match url.to_file_path() {
            Ok(path) => Ok(Location::Folder(path)),
            Err(()) => Err(invalid("a file URL has three slashes and an absolute path: file:///data/logs".into())),
        },
        "memory" => Ok(Location::Memory {
            name: url.host_str().unwrap_or_default().to_owned(),
            prefix: Path::from_url_path(url.path()).map_err(|error| invalid(error.to_string()))?,
        }),
        "wasb" | "wasbs" => from_wasb(&url).map(Location::Azure).map_err(invalid),
        "abfs" | "abfss" | "az" | "azure" | "adl" | "https" => {
            check_azure(&url).map(|()| Location::Azure(url.clone())).map_err(invalid)
        }
        other => Err(invalid(format!(
            "there is no store for '{other}://'; a location is a folder, file://, abfs[s]://, az://, wasb[s]://, \
             https://ACCOUNT.blob.core.windows.net/…, or memory:// in tests"
        ))),
    }
}

fn check_azure(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(format!(
            "the container is missing: {}://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH",
            url.scheme()
        ));
    }
    if url.scheme() != "https" {
        return Ok(());
    }
    let known =
        ["blob.core.windows.net", "dfs.core.windows.net", "blob.fabric.microsoft.com", "dfs.fabric.microsoft.com"];
    if !known.iter().any(|suffix| host.ends_with(suffix)) {
        return Err(format!(
            "{host} is not an Azure storage account; they end with .blob.core.windows.net or .dfs.core.windows.net"
        ));
    }
    match url.path_segments().and_then(|mut parts| parts.next()) {
        Some(container) if !container.is_empty() => Ok(()),
        _ => Err(format!("the container is missing: https://{host}/CONTAINER/PATH")),
    }
}

/// HDInsight's older spelling of the same blobs.
fn from_wasb(url: &Url) -> Result<Url, String> {
    let expected = "write wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH";
    let host = url.host_str().unwrap_or_default();
    if url.username().is_empty() || !host.contains(".blob.") {
        return Err(expected.to_owned());
    }
    let scheme = if url.scheme() == "wasbs" { "abfss" } else { "abfs" };
    let host = host.replacen(".blob.", ".dfs.", 1);
    let text = format!("{scheme}://{}@{host}{}", url.username(), url.path());
    Url::parse(&text).map_err(|error| format!("{expected}: {error}"))
}

/// What the Azure store may read from the environment.
fn azure_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(key, value)| {
        let (key, value) = (key.into_string().ok()?, value.into_string().ok()?);
        match key.as_str() {
            "MSI_ENDPOINT" => Some(("azure_msi_endpoint".to_owned(), value)),
            _ => key.starts_with("AZURE_").then(|| (key.to_ascii_lowercase(), value)),
        }
    })
}

/// A location as it may stand in an error: no password, no query.
fn without_secrets(location: &str) -> String {
    let Some((scheme, rest)) = location.split_once("://") else {
        return location.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
        None => authority.to_owned(),
    };
    let slash = if rest.contains('/') { "/" } else { "" };
    format!("{scheme}://{authority}{slash}{path}")
}

/// Memory stores by name: a location must mean the same store whoever opens it.
static MEMORY: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);

fn memory_store(name: &str) -> Arc<InMemory> {
    Arc::clone(MEMORY.lock().entry(name.to_owned()).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(location: &str) -> String {
        match understand(location).unwrap() {
            Location::Azure(url) => url.to_string(),
            other => panic!("{location} is {other:?}"),
        }
    }

    fn refused(location: &str) -> String {
        open_store(location).err().unwrap().to_string()
    }

    #[test]
    fn folders() {
        let folder = |text: &str| understand(text).unwrap();
        assert_eq!(folder("/data/a%3Ab"), Location::Folder("/data/a%3Ab".into()));
        assert_eq!(folder("data/logs"), Location::Folder("data/logs".into()));
        assert_eq!(folder("date=2026:11"), Location::Folder("date=2026:11".into()));
        assert_eq!(folder("file:///data/logs"), Location::Folder("/data/logs".into()));
        assert_eq!(folder("file:/data/a%20b"), Location::Folder("/data/a b".into()));
    }

    #[test]
    fn azure_in_all_its_spellings() {
        assert_eq!(
            azure("wasbs://lake@acct.blob.core.windows.net/logs/x"),
            "abfss://lake@acct.dfs.core.windows.net/logs/x"
        );
        assert_eq!(azure("wasb://lake@acct.blob.core.windows.net/"), "abfs://lake@acct.dfs.core.windows.net/");
        for (location, prefix) in [
            ("abfss://lake@acct.dfs.core.windows.net/logs/x", "logs/x"),
            ("wasbs://lake@acct.blob.core.windows.net/logs", "logs"),
            ("https://acct.blob.core.windows.net/lake/logs/x", "logs/x"),
            ("https://acct.blob.core.windows.net/lake", ""),
        ] {
            let (_, path) = open_store(location).unwrap();
            assert_eq!(path.as_ref(), prefix, "{location}");
        }
    }

    #[test]
    fn what_is_not_understood_says_what_to_write() {
        assert!(refused("").contains("empty"));
        assert!(refused("s3://bucket/p").contains("no store for 's3://'"));
        assert!(refused("hdfs://nn:8020/p").contains("no store for 'hdfs://'"));
        assert!(refused("file://data/logs").contains("three slashes"));
        assert!(refused("https://example.com/x").contains("not an Azure storage account"));
        assert!(refused("https://acct.blob.core.windows.net/").contains("container is missing"));
        assert!(refused("wasbs:///logs").contains("wasbs://CONTAINER@ACCOUNT"));
        assert!(refused("abfss:///logs").contains("container is missing"));
    }

    #[test]
    fn errors_hold_no_secrets() {
        let text = refused("https://acct.blob.core.windows.net/lake/p?sv=1&sig=TOPSECRET");
        assert!(text.contains("AZURE_STORAGE_SAS_TOKEN") && text.contains("/lake/p"), "{text}");
        assert!(!text.contains("TOPSECRET"), "{text}");
        assert!(!refused("s3://user:TOPSECRET@bucket/p").contains("TOPSECRET"));
    }

    #[tokio::test]
    async fn a_memory_location_means_one_store() {
        use object_store::ObjectStoreExt;
        let (first, prefix) = open_store("memory://open-test/a/b").unwrap();
        first.put(&prefix.clone().join("x"), "1".into()).await.unwrap();
        let (second, _) = open_store("memory://open-test/other").unwrap();
        assert_eq!(second.head(&Path::from("a/b/x")).await.unwrap().size, 1);
        let (third, _) = open_store("memory://open-test-2/").unwrap();
        assert!(third.head(&Path::from("a/b/x")).await.is_err());
    }
}
