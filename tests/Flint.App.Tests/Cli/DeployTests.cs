using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.App.Api;
using Flint.App.Cli;
using Flint.App.Config;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Flint.App.Tests.Cli;

/// <summary>The files for containers, compose and Kubernetes: they parse, and name only options, variables and routes that there are.</summary>
public sealed partial class DeployTests : IDisposable
{
    private const string Image = "flint";

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static readonly string[] All = [.. Directory.EnumerateFiles(At("deploy"), "*.yaml", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(TestData.Root, path)).Order(StringComparer.Ordinal)];

    public static TheoryData<string> Files => [.. All];

    [Theory]
    [MemberData(nameof(Files))]
    public void A_file_parses(string file)
    {
        List<YamlNode> documents = Read(file);
        Assert.NotEmpty(documents);
        Assert.All(documents, document => Assert.IsType<YamlMappingNode>(document));
        if (!file.Contains("kubernetes", StringComparison.Ordinal))
            return;
        foreach (YamlNode document in documents)
        {
            foreach (string key in (string[])["apiVersion", "kind", "metadata"])
                Assert.True(Find(document, key) is not null, $"{file}: a document has no {key}");
        }
    }

    [Fact]
    public void Commands_of_flint_name_only_options_that_it_has()
    {
        List<string[]> commands = [.. Containers().Select(one => Words(Find(one.Node, "command") ?? Find(one.Node, "args"))), ContainerfileCommand()];
        Assert.Equal(4, commands.Count); // of compose two, of Kubernetes one, and the image's own
        foreach (string[] command in commands)
        {
            Assert.Equal(Serve.Name, command[0]);
            Assert.Empty(Serve.Create().Parse(command[1..]).Errors);
        }

        foreach (Match use in Used().Matches(string.Concat(All.Select(file => File.ReadAllText(At(file))))))
            Assert.Empty(new System.CommandLine.RootCommand { Keys.Create() }.Parse(use.Groups[1].Value.Split(' ')).Errors);
    }

    [Fact]
    public void Variables_of_flint_are_ones_that_it_reads()
    {
        string sources = string.Concat(Directory.EnumerateFiles(At("src"), "*.cs", SearchOption.AllDirectories).Select(File.ReadAllText));
        string[] variables = [.. Variable().Matches(string.Concat(All.Select(file => File.ReadAllText(At(file)))) + File.ReadAllText(At("Containerfile"))).Select(match => match.Value).Distinct()];
        Assert.NotEmpty(variables);
        Assert.All(variables, name => Assert.Contains($"\"{name}\"", sources, StringComparison.Ordinal));
    }

    [Fact]
    public void Configurations_have_nothing_wrong()
    {
        List<string> configurations = [File.ReadAllText(At("deploy/flint.yaml"))];
        foreach (YamlNode document in Directory.EnumerateFiles(At("deploy/kubernetes")).SelectMany(path => Read(Path.GetRelativePath(TestData.Root, path))))
        {
            if (Text(Find(document, "kind")) == "ConfigMap")
                configurations.Add(Text(Find(Find(document, "data")!, "flint.yaml"))!);
        }

        Assert.Equal(2, configurations.Count);
        foreach (string configuration in configurations)
        {
            File.WriteAllText(_folder.File("flint.yaml"), configuration);
            Assert.Empty(ServerConfig.Check(_folder.File("flint.yaml")));
            ServerConfig config = ServerConfig.Load(_folder.File("flint.yaml"));
            Assert.Equal(("0.0.0.0", ServerConfig.Json), (config.Host!.ToString(), config.Log));
        }
    }

    [Fact]
    public void Probes_ask_open_routes_at_the_port_that_is_listened_at()
    {
        YamlNode container = Assert.Single(Containers(), one => one.File.Contains("kubernetes", StringComparison.Ordinal)).Node;
        YamlMappingNode port = Assert.IsType<YamlMappingNode>(Assert.Single(((YamlSequenceNode)Find(container, "ports")!).Children));
        foreach (string probe in (string[])["startupProbe", "readinessProbe", "livenessProbe"])
        {
            YamlNode get = Find(Find(container, probe)!, "httpGet")!;
            Assert.Contains(OpenApiRoutes.All, route => route.Method == "GET" && route.Tag == OpenApiRoutes.Server && route.Path == Text(Find(get, "path")));
            Assert.Equal(Text(Find(port, "name")), Text(Find(get, "port")));
            Assert.Equal("HTTPS", Text(Find(get, "scheme")));
        }

        YamlNode map = Read("deploy/kubernetes/flint.yaml").First(document => Text(Find(document, "kind")) == "ConfigMap");
        File.WriteAllText(_folder.File("flint.yaml"), Text(Find(Find(map, "data")!, "flint.yaml"))!);
        ServerConfig config = ServerConfig.Load(_folder.File("flint.yaml"));
        Assert.Equal(Text(Find(port, "containerPort")), $"{config.Port}");
        Assert.NotNull(config.TlsCertificate);
        YamlNode pod = Find(Find(Find(Read("deploy/kubernetes/flint.yaml").First(document => Text(Find(document, "kind")) == "StatefulSet"), "spec")!, "template")!, "spec")!;
        int pause = int.Parse(Text(Find(Find(Find(Find(container, "lifecycle")!, "preStop")!, "sleep")!, "seconds"))!);
        Assert.True(int.Parse(Text(Find(pod, "terminationGracePeriodSeconds"))!) > pause + config.DrainSeconds + 10, "the drain is cut off");
    }

    // The containers that run Flint, of all files.
    private static IEnumerable<(string File, YamlNode Node)> Containers() =>
        from file in All
        from document in Read(file)
        from node in document.AllNodes.OfType<YamlMappingNode>()
        where Text(Find(node, "image"))?.Split(':')[0] == Image && IsService(file, node)
        select (file, (YamlNode)node);

    // A mapping of compose is a service only where its ports are: the one that others take over has none.
    private static bool IsService(string file, YamlNode node) => file.Contains("kubernetes", StringComparison.Ordinal) || Find(node, "ports") is not null;

    private static string[] ContainerfileCommand()
    {
        string line = File.ReadLines(At("Containerfile")).Single(line => line.StartsWith("CMD ", StringComparison.Ordinal));
        return [.. JsonNode.Parse(line[4..])!.AsArray().Select(word => (string)word!)];
    }

    private static string[] Words(YamlNode? list) => [.. ((YamlSequenceNode)list!).Children.Select(word => Text(word)!)];

    // Keys of a mapping, those that it takes over by << included.
    private static YamlNode? Find(YamlNode node, string key)
    {
        if (node is not YamlMappingNode map)
            return null;
        if (map.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? value))
            return value;
        return map.Children.TryGetValue(new YamlScalarNode("<<"), out YamlNode? parent) ? Find(parent, key) : null;
    }

    private static string? Text(YamlNode? node) => (node as YamlScalarNode)?.Value;

    private static List<YamlNode> Read(string file)
    {
        var stream = new YamlStream();
        using var reader = new StreamReader(At(file));
        stream.Load(new Parser(reader));
        return [.. stream.Documents.Select(document => document.RootNode)];
    }

    private static string At(string path) => Path.Combine(TestData.Root, path);

    [GeneratedRegex("/flint/flint\\.dll (keys [a-z -]+[a-z])")]
    private static partial Regex Used();

    [GeneratedRegex("\\bFLINT_[A-Z_]+\\b")]
    private static partial Regex Variable();
}
