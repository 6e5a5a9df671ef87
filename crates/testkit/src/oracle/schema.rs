//! What both databases of a bench hold: tables and functions whose answers depend on the settings of who asks, and functions that
//! change settings where no statement shows it.

/// Roles that programs take on; the two users are members of both.
pub const ROLES: [&str; 2] = ["oracle_r1", "oracle_r2"];

/// Statements that make a database anew; not in a transaction.
pub fn databases(name: &str) -> [String; 2] {
    [
        format!("DROP DATABASE IF EXISTS {name}"),
        format!(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        ),
    ]
}

/// The objects.
pub const OBJECTS: &str = r#"
CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE SCHEMA "S3"; CREATE SCHEMA w0; CREATE SCHEMA w1;
CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1), (2);
CREATE TABLE s1.t (a int, b text); INSERT INTO s1.t VALUES (10, 'ten'), (11, 'eleven');
CREATE TABLE s2.t (a text); INSERT INTO s2.t VALUES ('s2');
CREATE TABLE "S3".t (a float8, b bytea); INSERT INTO "S3".t VALUES (0.1, '\x00ff41');
CREATE TABLE log (id serial, who text, said text);
CREATE TABLE keyed (who text, k int, v text, PRIMARY KEY (who, k));
CREATE TABLE late (who text, k int, UNIQUE (who, k) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE watched (name text, value text, local bool);
CREATE SEQUENCE sq;
CREATE FUNCTION public.here() RETURNS text LANGUAGE sql AS $$SELECT 'public'$$;
CREATE FUNCTION s1.here() RETURNS text LANGUAGE sql AS $$SELECT 's1'$$;
CREATE FUNCTION s2.here() RETURNS text LANGUAGE sql AS $$SELECT 's2'$$;
CREATE FUNCTION f_raise(what text) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'raised %', what; END$$;
CREATE FUNCTION f_notice(what text) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'noticed %', what; RETURN 1; END$$;
CREATE FUNCTION f_set(name text, value text, local bool) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN RETURN pg_catalog.set_config(name, value, local); END$$;
CREATE FUNCTION f_set_sql(name text, value text) RETURNS text LANGUAGE sql AS $$SELECT pg_catalog.set_config(name, value, false)$$;
CREATE FUNCTION f_clause() RETURNS text LANGUAGE plpgsql SET work_mem = '3MB' AS
  $$BEGIN PERFORM pg_catalog.set_config('random_page_cost', '7', true); RETURN current_setting('work_mem'); END$$;
CREATE FUNCTION f_caught(name text, value text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_catalog.set_config(name, value, false); RAISE EXCEPTION 'undone'; EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END$$;
CREATE PROCEDURE p_set(name text, value text) LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_catalog.set_config(name, value, false); END$$;
CREATE PROCEDURE p_commit(name text, value text) LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_catalog.set_config(name, value, false); COMMIT; PERFORM pg_catalog.set_config('work_mem', '9MB', false); END$$;
CREATE PROCEDURE p_commit_fail(name text, value text) LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_catalog.set_config(name, value, false); COMMIT; PERFORM pg_catalog.set_config('work_mem', '8MB', false);
  RAISE EXCEPTION 'after the commit'; END$$;
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_catalog.set_config(NEW.name, NEW.value, NEW.local); RETURN NEW; END$$;
CREATE TRIGGER watch BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION watch();
GRANT ALL ON SCHEMA public, s1, s2, "S3", w0, w1 TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA public, s1, s2, "S3" TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
REVOKE ALL ON log FROM oracle_r1; REVOKE ALL ON public.t FROM PUBLIC; GRANT SELECT ON public.t TO oracle_plain, oracle_r1;
CREATE FUNCTION restore() RETURNS void LANGUAGE plpgsql AS $$
DECLARE mine text;
BEGIN
  IF EXISTS (SELECT FROM log) THEN DELETE FROM log; END IF;
  IF EXISTS (SELECT FROM keyed) THEN DELETE FROM keyed; END IF;
  IF EXISTS (SELECT FROM late) THEN DELETE FROM late; END IF;
  IF EXISTS (SELECT FROM watched) THEN DELETE FROM watched; END IF;
  PERFORM setval('public.sq', 1, false);
  FOREACH mine IN ARRAY ARRAY['w0', 'w1'] LOOP
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = mine::regnamespace)
      OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = mine::regnamespace) THEN
      SET LOCAL client_min_messages = error;
      EXECUTE format('DROP SCHEMA %I CASCADE', mine);
      EXECUTE format('CREATE SCHEMA %I', mine);
      EXECUTE format('GRANT ALL ON SCHEMA %I TO PUBLIC', mine);
    END IF;
  END LOOP;
END$$;
REVOKE ALL ON FUNCTION restore() FROM PUBLIC;
SET statement_timeout = '8s';
"#;

/// Puts a database in order after a program.
pub const RESTORE: &str = "SELECT public.restore()";
