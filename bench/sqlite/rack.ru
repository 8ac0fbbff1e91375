# frozen_string_literal: true

# Rack and the sqlite3 gem, and what a small app does with them. There are as many connections as threads.
#
#   /write   computes for 10 ms, then BEGIN, SELECT, 5 ms, INSERT, 5 ms, COMMIT, and computes for 10 ms more
#   /logged  the same with a line in a log at its begin, before the transaction and at its end, and a look at a row
#            elsewhere (1 ms of waiting) before the transaction: four pauses
#   /late    computes for 150 ms before the same transaction, as a password's hash does before the login is recorded
#   /read    computes for 2 ms
#
# DATABASE is the file, MODE deferred or immediate, BUSY_TIMEOUT milliseconds (0: none).
require "sqlite3"
require_relative "busy"

database, mode, timeout = ENV.fetch("DATABASE"), ENV.fetch("MODE").to_sym, Integer(ENV.fetch("BUSY_TIMEOUT"))
pool = Queue.new
log = File.open(ENV.fetch("LOG", File::NULL), "a").tap { |file| file.sync = true }
connect = lambda do
  connection = SQLite3::Database.new(database)
  connection.busy_timeout(5000) # Opening it is not what is measured.
  connection.execute("PRAGMA journal_mode = WAL")
  connection.execute("PRAGMA synchronous = NORMAL")
  connection.execute("SELECT count(*) FROM sqlite_schema")
  connection.busy_timeout(timeout)
  connection
end
Integer(ENV.fetch("POOL")).times { pool << connect.call }
pool.pop.tap { |connection| pool << connection }.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT)")

write = lambda do
  connection = pool.pop
  connection.transaction(mode) do
    connection.execute("SELECT count(*) FROM notes WHERE id < 100")
    Busy.for_ms(5)
    connection.execute("INSERT INTO notes (text) VALUES (?)", ["note"])
    Busy.for_ms(5)
  end
ensure
  pool << connection
end

run(lambda do |env|
  case env["PATH_INFO"]
  when "/read" then Busy.for_ms(2)
  when "/logged"
    log.write("Started\n")
    Busy.for_ms(10)
    log.write("Processing\n")
    sleep(0.001)
    write.call
    Busy.for_ms(10)
    log.write("Completed\n")
  else
    Busy.for_ms(env["PATH_INFO"] == "/late" ? 150 : 10)
    write.call
    Busy.for_ms(10)
  end
  [200, { "content-type" => "text/plain" }, ["done\n"]]
rescue SQLite3::BusyException => error
  [500, { "content-type" => "text/plain" }, ["#{error.class}: #{error.message}\n"]]
end)
