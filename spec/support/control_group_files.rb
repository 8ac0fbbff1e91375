# frozen_string_literal: true

require "fileutils"
require "tmpdir"

# A system of a few files, in the place of /proc and /sys/fs/cgroup.
module ControlGroupFiles
  # Yields the directory that stands for the root; the texts of +files+ by their paths.
  def in_system(files)
    Dir.mktmpdir do |root|
      files.each do |path, text|
        FileUtils.mkdir_p(File.dirname("#{root}/#{path}"))
        File.write("#{root}/#{path}", text)
      end
      yield root
    end
  end

  # A line of mountinfo.
  def mount(type, point, root: "/", options: "rw") = "31 23 0:28 #{root} #{point} rw,nosuid shared:9 - #{type} #{type} #{options}\n"
end
