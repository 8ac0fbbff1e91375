# frozen_string_literal: true

require "tmpdir"

RSpec.describe Tidegate::FromPuma do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  # The file in our language.
  def translated(text)
    path = "#{@directory}/puma.rb"
    File.write(path, text)
    described_class.new(path).to_s
  end

  it "keeps what is the same in both as it is written, with its comments" do
    text = <<~RUBY
      # Where the load balancer looks.
      port ENV.fetch("PORT", 3000)

      worker_timeout 3600 if ENV.fetch("RAILS_ENV", "development") == "development"
      on_worker_boot do
        # each has its own
        ActiveRecord::Base.establish_connection
      end
    RUBY
    expect(translated(text)).to eq(text)
  end

  it "writes our name, and the value, of what only Puma calls so" do
    expect(translated(<<~RUBY)).to eq(<<~OURS)
      # Allow puma to be restarted.
      plugin :tmp_restart
      fork_worker 500
      set_default_host "::1"
    RUBY
      # plugin :tmp_restart
      restart_file "tmp/restart.txt"

      # fork_worker 500
      refork_after 500

      # set_default_host "::1"
      host "::1"
    OURS
  end

  it "makes a comment of what does nothing, with the reason, and leaves out what only that has read" do
    expect(translated(<<~RUBY)).to eq(<<~OURS)
      # frozen_string_literal: true

      max = ENV.fetch("RAILS_MAX_THREADS") { 5 }
      min = ENV.fetch("RAILS_MIN_THREADS") { max }
      threads min, max
      io_selector_backend :select
      queue_requests true
      preload_app!
      plugin :tmp_restart if ENV["NO_SUCH_VARIABLE"]
      port 3000
    RUBY
      # No number of threads has to be tuned (docs/threads.md); RAILS_MAX_THREADS or the database's pool bounds them
      # threads min, max

      # io_selector_backend does nothing here: the waiting is done in Rust
      # io_selector_backend :select

      # This is so here in any case
      # queue_requests true

      # What this does was not seen when this file was written, as its condition was not met
      # plugin :tmp_restart if ENV["NO_SUCH_VARIABLE"]
      port 3000
    OURS
  end

  it "makes a comment of what our language refuses" do
    expect(translated("workers ENV[\"NO_SUCH_VARIABLE\"]\nport 3000\n")).to eq(<<~OURS)
      # workers cannot be nil: it must be a whole number from 0 to 1024, or auto
      # workers ENV["NO_SUCH_VARIABLE"]
      port 3000
    OURS
  end

  it "says what is wrong with a file that does not work" do
    expect { translated("port 3000\nno_such_option 1\n") }.to raise_error(Tidegate::ConfigurationError, /puma\.rb:2: unknown option no_such_option/)
    expect { translated("port(") }.to raise_error(Tidegate::ConfigurationError)
  end
end
