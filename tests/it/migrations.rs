//! Migrations apply once, whoever asks, and refuse a database that they do not know.

use waypost::store::migrate::{check, migrate};

use crate::support::TestDatabase;

#[tokio::test]
async fn migrating_twice_does_nothing_the_second_time() {
    let database = TestDatabase::empty().await;
    let store = database.store();
    check(&store).await.expect_err("an empty database is behind");
    let applied = migrate(&store).await.expect("applied");
    assert_eq!(applied.first(), Some(&"0001_links"));
    check(&store).await.expect("up to date");
    assert_eq!(migrate(&store).await.expect("nothing to do"), Vec::<&str>::new());
}

#[tokio::test]
async fn processes_that_migrate_at_the_same_time_apply_each_migration_once() {
    let database = TestDatabase::empty().await;
    let (one, two, three) = (database.store(), database.store(), database.store());
    let (one, two, three) = tokio::join!(migrate(&one), migrate(&two), migrate(&three));
    let counts = [one, two, three].map(|applied| applied.expect("applied").len());
    assert_eq!(counts.iter().filter(|count| **count > 0).count(), 1, "{counts:?}");
    check(&database.store()).await.expect("up to date");
}

#[tokio::test]
async fn a_database_from_the_future_is_refused() {
    let database = TestDatabase::new().await;
    let insert = "INSERT INTO schema_migration (number, name, checksum) \
                  SELECT max(number) + 1, 'tomorrow', 'x' FROM schema_migration";
    database.connect().await.batch_execute(insert).await.expect("inserted");
    let store = database.store();
    for refusal in [check(&store).await, migrate(&store).await.map(drop)] {
        let message = refusal.expect_err("refused").to_string();
        assert!(message.contains("comes from the future"), "{message}");
        assert!(message.contains("Run the newer waypost"), "{message}");
    }
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_was_applied_is_refused() {
    let database = TestDatabase::new().await;
    let edit = "UPDATE schema_migration SET checksum = 'x' WHERE number = 1";
    database.connect().await.batch_execute(edit).await.expect("edited");
    let store = database.store();
    for refusal in [check(&store).await, migrate(&store).await.map(drop)] {
        let message = refusal.expect_err("refused").to_string();
        assert!(message.contains("migration 1 ('0001_links')"), "{message}");
        assert!(message.contains("another text"), "{message}");
    }
}
