create table t(id integer primary key, k int, s text);
with recursive c(i, x) as (select 1, 12345 union all select i + 1, (x * 1103515245 + 12345) % 2147483648 from c where i < 40000)
insert into t select i, x % 1000, 'name' || (x % 777) from c;
create index by_k on t(k);
select count(*), sum(id), min(s), max(s) from t where k between 100 and 300;
select s, count(*) n, avg(k) from t group by s order by n desc, s limit 3;
select count(*) from t a join t b on a.k = b.k where a.id < 2000 and b.id > 38000;
update t set s = upper(s) where k % 3 = 0;
select count(*) from t where s like 'NAME1%' and s glob 'NAME*';
