# frozen_string_literal: true

# What the pages about deployment name has to be there.
RSpec.describe "the docs of deploy/" do
  root = File.expand_path("../..", __dir__)
  pages = %w[docs/kubernetes.md docs/containers.md]
  copied = Dir.chdir(root) { Dir["deploy/**/*"].select { |path| File.file?(path) } }

  pages.each do |page|
    it "names in #{page} only files that there are" do
      text = File.read("#{root}/#{page}")
      links = text.scan(/\]\(([^)#:]+)\)/).flatten.map { |link| File.expand_path(link, File.dirname("#{root}/#{page}")) }
      paths = text.scan(%r{\b(?:deploy|bin)/[\w./-]*\w}).uniq - ["bin/rails"]
      paths = paths.map { |path| "#{root}/#{path}" }

      expect(links.size + paths.size).to be > 5
      expect((links + paths).reject { |path| File.exist?(path) }).to be_empty
    end
  end

  it "are all in the index, docs/README.md" do
    listed = File.read("#{root}/docs/README.md").scan(/\]\(([\w-]+\.md)\)/).flatten

    expect(Dir.children("#{root}/docs").grep(/\.md\z/) - ["README.md"] - listed).to be_empty
  end

  it "name only environment variables that the server has" do
    known = Tidegate::Configuration::OPTIONS.values.flat_map(&:envs)
    used = (pages + copied).to_h { |path| [path, File.read("#{root}/#{path}").scan(/\bTIDEGATE_[A-Z_]*[A-Z]\b(?!_)/).uniq] }
    used["deploy/helm/tidegate/values.yaml"].delete("TIDEGATE_NAME") # stands for any

    expect(used.values.flatten.uniq.size).to be >= 5
    expect(used.transform_values { |names| names - known }.reject { |_, names| names.empty? }).to be_empty
  end
end
