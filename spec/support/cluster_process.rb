# frozen_string_literal: true

# For specs of clusters: what there is below a master, from the kernel's point of view, and how to reach each worker.

module ClusterProcess
  # Starts a cluster of spec/fixtures/cluster.ru and waits until all workers serve.
  def cluster(*arguments, workers: 2, fixture: "cluster.ru", **) = serve(fixture, "-w", workers, *arguments, **)

  # The pids of a process's children.
  def children(pid) = File.read("/proc/#{pid}/task/#{pid}/children").split.map { |child| Integer(child) }

  # The pids of the processes below a master that serve.
  def worker_pids(server) = children(server.pid).select { |pid| title(pid).start_with?("tidegate: worker") }

  def title(pid)
    File.read("/proc/#{pid}/cmdline").delete("\0")
  rescue SystemCallError
    ""
  end

  # Whether there is such a process, and it is no zombie.
  def alive?(pid)
    File.read("/proc/#{pid}/stat")[/\) (\w)/, 1] != "Z"
  rescue SystemCallError
    false
  end

  # Waits until a process has gone.
  def wait_gone(pid) = Patience.until_true("process #{pid} to end") { !alive?(pid) }

  # Waits until there are so many workers, all of which serve, and returns their pids.
  def wait_workers(server, count)
    Patience.until_true("#{count} workers that serve: #{server.output}") do
      pids = worker_pids(server)
      pids if pids.size == count && pids.none? { |pid| title(pid).include?("booting") }
    end
  end

  # A connection that a certain worker has accepted.
  def connect_to(server, pid)
    Patience.until_true("a connection to worker #{pid}") do
      wire = server.connect
      next wire if wire.get("/pid").body == pid.to_s

      wire.close
      nil
    end
  end
end

RSpec.configure { |config| config.include ClusterProcess, :processes }
