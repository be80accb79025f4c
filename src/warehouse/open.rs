//! Opening a warehouse: from its configuration to a store.
//!
//! Settings of a remote store come from the usual environment variables of its provider first, and
//! from `options` on top. Their values never appear in an error.

use std::{collections::BTreeMap, path::Path, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};
use url::Url;

use super::{
    Access, Warehouse,
    durable::{DurableLocal, create_folders},
    root::Root,
};
use crate::{
    config::{Format, Secret, WarehouseConfig},
    error::{Context as _, Error, ErrorKind, Result},
};

impl Warehouse {
    /// Opens a warehouse for publishing; the folder of a local one is created.
    pub fn open(config: &WarehouseConfig) -> Result<Self> {
        let warehouse = connect(config, Access::Publish)?;
        if let Some(folder) = warehouse.local_root() {
            create_folders(folder).or_fail(ErrorKind::Storage, || {
                format!("the warehouse `{}` can't be created", folder.display())
            })?;
        }
        Ok(warehouse)
    }

    /// Opens a warehouse for reading. Creates nothing; a warehouse that does not exist is empty.
    pub fn open_read(config: &WarehouseConfig) -> Result<Self> {
        connect(config, Access::Read)
    }

    /// A warehouse at `url` (with a slash at its end) in a store that somebody else opened, and in
    /// which paths are those of the URLs.
    pub fn over(store: Arc<dyn ObjectStore>, url: Url, format: Format) -> Result<Self> {
        let root = Root::new(url, store)?;
        Ok(Self { root, format, access: Access::Publish, observer: None })
    }
}

fn connect(config: &WarehouseConfig, access: Access) -> Result<Warehouse> {
    let mut url = config.url.clone();
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    let store = store_of(&url, &config.options).map_err(|error| {
        if error.kind() == ErrorKind::Config {
            error.at(config.origin.place("the warehouse is set here"))
        } else {
            error
        }
    })?;
    let root = Root::new(url, store)?;
    Ok(Warehouse { root, format: config.format, access, observer: None })
}

fn store_of(url: &Url, options: &BTreeMap<String, Secret>) -> Result<Arc<dyn ObjectStore>> {
    let address = url.as_str();
    let built: Result<Arc<dyn ObjectStore>, object_store::Error> = match url.scheme() {
        "file" => {
            if url.to_file_path().is_ok_and(|path| Path::is_absolute(&path)) {
                return Ok(Arc::new(DurableLocal::new()));
            }
            return Err(Error::new(ErrorKind::Config, format!("`{url}` is not a folder")));
        }
        "s3" | "s3a" => with_options(
            options,
            |key: AmazonS3ConfigKey, value, builder| {
                AmazonS3Builder::with_config(builder, key, value)
            },
            AmazonS3Builder::from_env().with_url(address).with_retry(retries()),
        )?
        .build()
        .map(|store| Arc::new(store) as _),
        "gs" => with_options(
            options,
            |key: GoogleConfigKey, value, builder| {
                GoogleCloudStorageBuilder::with_config(builder, key, value)
            },
            GoogleCloudStorageBuilder::from_env().with_url(address).with_retry(retries()),
        )?
        .build()
        .map(|store| Arc::new(store) as _),
        "az" | "abfs" | "abfss" => with_options(
            options,
            |key: AzureConfigKey, value, builder| {
                MicrosoftAzureBuilder::with_config(builder, key, value)
            },
            MicrosoftAzureBuilder::from_env().with_url(address).with_retry(retries()),
        )?
        .build()
        .map(|store| Arc::new(store) as _),
        other => {
            return Err(Error::new(
                ErrorKind::Config,
                format!("a warehouse can't lie at `{other}://`"),
            )
            .hint("use a folder, `s3://`, `gs://` or `az://`"));
        }
    };
    built.map_err(|error| {
        Error::new(ErrorKind::Config, format!("the store of `{url}` can't be set up"))
            .because(without_secrets(&error.to_string(), options))
    })
}

/// Hands each option to the builder under its typed key.
fn with_options<K: FromStr, B>(
    options: &BTreeMap<String, Secret>,
    set: impl Fn(K, String, B) -> B,
    mut builder: B,
) -> Result<B> {
    for (name, value) in options {
        let key = name.to_lowercase().parse().map_err(|_| {
            Error::new(ErrorKind::Config, format!("the warehouse's store has no option `{name}`"))
                .hint("options have object_store's names, such as `aws_endpoint` or `aws_region`")
        })?;
        builder = set(key, value.reveal().to_owned(), builder);
    }
    Ok(builder)
}

/// Bounded, so that a store that is down fails a run and doesn't hang it.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 6, retry_timeout: Duration::from_mins(1), ..RetryConfig::default() }
}

fn without_secrets(text: &str, options: &BTreeMap<String, Secret>) -> String {
    options
        .values()
        .map(Secret::reveal)
        .filter(|value| value.len() > 3)
        .fold(text.to_owned(), |text, value| text.replace(value, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Retention};

    fn config(url: &str, options: &[(&str, &str)]) -> WarehouseConfig {
        WarehouseConfig {
            url: url.parse().unwrap(),
            format: Format::Delta,
            options: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
                .collect(),
            retention: Retention::default(),
            origin: Origin::start("longshore.yml", "warehouse:"),
        }
    }

    #[test]
    fn reading_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a b");
        let url = Url::from_directory_path(&root).unwrap();
        let warehouse = Warehouse::open_read(&config(url.as_str(), &[])).unwrap();
        assert!(warehouse.is_local() && !root.exists());
        let warehouse = Warehouse::open(&config(url.as_str().trim_end_matches('/'), &[])).unwrap();
        assert_eq!(warehouse.local_root(), Some(root.as_path()));
        assert!(root.is_dir() && warehouse.url().path().ends_with("a%20b/"));
    }

    #[test]
    fn remote_stores_take_options_by_name() {
        let options = [
            ("aws_endpoint", "http://127.0.0.1:9"),
            ("aws_region", "x"),
            ("aws_allow_http", "true"),
        ];
        let warehouse = Warehouse::open(&config("s3://bucket/prefix/", &options)).unwrap();
        assert!(!warehouse.is_local());
        assert_eq!(warehouse.url().as_str(), "s3://bucket/prefix/");
    }

    #[test]
    fn wrong_settings_are_named_without_their_values() {
        let wrong = |url: &str, options: &[(&str, &str)]| {
            Warehouse::open(&config(url, options)).err().unwrap().to_string()
        };
        insta::assert_snapshot!(wrong("s3://bucket/", &[("aws_secret", "hunter2")]),
            @"the warehouse's store has no option `aws_secret` (longshore.yml:1:1: the warehouse is set here)");
        insta::assert_snapshot!(wrong("ftp://host/x/", &[]),
            @"a warehouse can't lie at `ftp://` (longshore.yml:1:1: the warehouse is set here)");
        let told = wrong("s3://bucket/", &[("aws_skip_signature", "hunter2")]);
        assert!(!told.contains("hunter2"), "{told}");
    }
}
