# frozen_string_literal: true

# What runs this process, and so decides how it is ended: Kubernetes, a container engine, or neither. The launcher asks once.

module Tidegate
  module Platform
    # Files that Docker and Podman put into their containers.
    FILES = %w[.dockerenv run/.containerenv].freeze

    # Values of the environment variable `container`, which engines set for the process that they start.
    ENGINES = %w[containerd crio docker oci podman].freeze

    # Directories in which engines keep the layers of a container's root file system, which is an overlay.
    LAYERS = %r{/(?:containerd|docker|nerdctl|containers/storage)/}

    # The PID namespace of a machine outside of any container: the kernel's constant PROC_PID_INIT_INO.
    MACHINE = "pid:[4026531836]"

    # The names of process 1 in containers that are whole systems: LXC, systemd-nspawn, WSL.
    INITS = %w[init openrc-init runit systemd].freeze

    module_function

    # :kubernetes, :container or :plain. +root+ is for specs.
    def of(env, root: "/")
      return :kubernetes if env.key?("KUBERNETES_SERVICE_HOST")

      container?(env, root) ? :container : :plain
    end

    def container?(env, root)
      ENGINES.include?(env["container"]) || FILES.any? { |name| File.exist?(File.join(root, name)) } || overlaid?(root)
    end

    # Whether the root is an overlay, as in a container. containerd and others leave no file. The root of a live system is an
    # overlay too, but its layers are elsewhere, and its processes are in the machine's PID namespace.
    def overlaid?(root)
      overlay = overlay(root) or return false

      overlay.match?(LAYERS) || (namespace(root) != MACHINE && !INITS.include?(read(root, "proc/1/comm").chomp))
    end

    # The mount options of the root file system, if it is an overlay. The last mount there counts.
    def overlay(root)
      mounted = read(root, "proc/self/mountinfo").lines.select { |line| line.split(" ", 6)[4] == "/" }
      type, _, options = mounted.last.to_s[/ - (.*)/, 1].to_s.split(" ", 3)
      options if type == "overlay"
    end

    def namespace(root)
      File.readlink(File.join(root, "proc/self/ns/pid"))
    rescue SystemCallError
      MACHINE # this is not Linux, or /proc may not be read
    end

    def read(root, name)
      File.binread(File.join(root, name))
    rescue SystemCallError
      ""
    end

    private_class_method :container?, :overlaid?, :overlay, :namespace, :read
  end
end
