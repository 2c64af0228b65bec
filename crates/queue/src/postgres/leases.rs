//! Instances and lanes in Postgres. The database's clock alone decides whose lease has run out.

use sqlx::postgres::PgBindIterExt;
use uuid::Uuid;

use super::PostgresStore;
use super::statements::{BURY, FORGET, HEARTBEAT, REGISTER, RELEASE, RETIRE, STANDING, TAKE};
use crate::fault::Fault;
use crate::model::LaneGrant;
use crate::prepare::lane_number;
use crate::store::{Standing, Taken};

impl PostgresStore {
    fn lease_ms(&self) -> f64 {
        self.settings.lease().as_secs_f64() * 1000.0
    }

    pub(super) async fn insert_instance(&self, me: Uuid) -> Result<(), Fault> {
        let register = sqlx::query(REGISTER.sql).bind(me).bind(self.lease_ms()).execute(&self.leases);
        self.metrics.timed(REGISTER, register).await?;
        Ok(())
    }

    pub(super) async fn renew_lease(&self, me: Uuid) -> Result<Option<Standing>, Fault> {
        let renew = sqlx::query(HEARTBEAT.sql).bind(me).bind(self.lease_ms()).execute(&self.leases);
        if self.metrics.timed(HEARTBEAT, renew).await?.rows_affected() == 0 {
            return Ok(None);
        }
        let standing = sqlx::query_as::<_, (i64, i64, Vec<i16>, Vec<i64>)>(STANDING.sql)
            .bind(me)
            .fetch_one(&self.leases);
        let (live, total, lanes, epochs) = self.metrics.timed(STANDING, standing).await?;
        let lanes = lanes.into_iter().zip(epochs).map(|(lane, epoch)| Ok((lane_number(lane)?, epoch)));
        Ok(Some(Standing {
            lanes: lanes.collect::<Result<_, Fault>>()?,
            live: usize::try_from(live).map_err(Fault::corrupt)?,
            total: usize::try_from(total).map_err(Fault::corrupt)?,
        }))
    }

    pub(super) async fn bury_instances(&self) -> Result<usize, Fault> {
        let bury = sqlx::query(BURY.sql).execute(&self.leases);
        let buried = self.metrics.timed(BURY, bury).await?.rows_affected();
        if buried == 0 {
            let forget = sqlx::query(FORGET.sql).execute(&self.leases);
            self.metrics.timed(FORGET, forget).await?;
        }
        Ok(usize::try_from(buried).unwrap_or(usize::MAX))
    }

    pub(super) async fn take_lanes(&self, me: Uuid, at_most: usize) -> Result<Vec<Taken>, Fault> {
        let take = sqlx::query_as::<_, (i16, i64, i64)>(TAKE.sql)
            .bind(me)
            .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
            .fetch_all(&self.leases);
        let taken = self.metrics.timed(TAKE, take).await?;
        let taken = taken.into_iter().map(|(lane, epoch, last)| {
            Ok(Taken { grant: LaneGrant { lane: lane_number(lane)?, epoch }, last })
        });
        taken.collect()
    }

    pub(super) async fn release_lanes(&self, me: Uuid, lanes: &[u8]) -> Result<(), Fault> {
        let release = sqlx::query(RELEASE.sql)
            .bind(me)
            .bind(lanes.iter().map(|lane| i16::from(*lane)).bind_iter())
            .execute(&self.leases);
        self.metrics.timed(RELEASE, release).await?;
        Ok(())
    }

    pub(super) async fn delete_instance(&self, me: Uuid) -> Result<(), Fault> {
        let retire = sqlx::query(RETIRE.sql).bind(me).execute(&self.leases);
        self.metrics.timed(RETIRE, retire).await?;
        Ok(())
    }
}
