# frozen_string_literal: true

# Packs gems that Debian has installed as .gem files again, for an image that is built without a registry of gems.
#
#   pack_gems.rb ROOT DIRECTORY NAME...     ROOT is the system that has them, DIRECTORY where the files go

require "rubygems/package"

root, directory, *names = ARGV
installed = "#{root}/usr/share/rubygems-integration/all"
names.each do |name|
  file = Dir["#{installed}/specifications/#{name}-[0-9]*.gemspec"].first || abort("#{root} has no gem #{name}")
  spec = Gem::Specification.load(file)
  Dir.chdir("#{installed}/gems/#{spec.full_name}") do
    # What Debian left out is in the list, and what signed the original is not here.
    spec.files = Dir["**/*"].select { |path| File.file?(path) }
    spec.executables = spec.executables.select { |path| File.exist?("#{spec.bindir}/#{path}") }
    spec.test_files = spec.extra_rdoc_files = spec.cert_chain = []
    spec.signing_key = nil
    Gem::Package.build(spec, true, false, File.join(directory, "#{spec.full_name}.gem"))
  end
end
