using System.Diagnostics;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Flint.Tests.House;

/// <summary>The rules of HOUSE.md that a machine can check: direction, sizes, nothing half-present.</summary>
public sealed partial class HouseTests
{
    private static readonly List<SourceFile> Engine = SourceFile.Under("src/Flint");
    private static readonly List<SourceFile> App = SourceFile.Under("src/Flint.App");
    private static readonly List<SourceFile> Tests = SourceFile.Under("tests");

    private static IEnumerable<SourceFile> Sources => Engine.Concat(App);

    [Fact]
    public void Every_folder_is_a_room_with_a_charter_and_every_namespace_follows_its_folder()
    {
        string house = File.ReadAllText(Path.Combine(TestData.Root, "HOUSE.md"));
        var faults = new List<string>();
        foreach (SourceFile file in Sources)
        {
            string? room = RoomOf(file.Path);
            string project = file.Path.StartsWith("src/Flint.App/", StringComparison.Ordinal) ? "Flint.App" : "Flint";
            if (room is not null && !(project == "Flint" ? Rooms.Engine : Rooms.App).ContainsKey(room))
                faults.Add($"{file.Path}: room {room} is not in the table of rooms");
            if (room is not null && !house.Contains($"`{room}`", StringComparison.Ordinal))
                faults.Add($"HOUSE.md has no charter for `{room}`");
            string expected = room is null ? project : $"{project}.{room}";
            foreach (Match declared in Namespace().Matches(file.Code))
                if (declared.Groups[1].Value != expected)
                    faults.Add($"{file.Path}: namespace {declared.Groups[1].Value}, expected {expected}");
        }
        Assert.Empty(faults.Distinct());
    }

    [Fact]
    public void Rooms_use_only_rooms_they_may()
    {
        var typesOf = Sources.GroupBy(f => RoomOf(f.Path) ?? "")
            .ToDictionary(g => g.Key, g => g.SelectMany(f => f.DeclaredTypes()).ToHashSet());
        var faults = new List<string>();
        foreach (SourceFile file in Sources)
            foreach (string used in UsedRooms(file, typesOf))
                if (!MayUse(file.Path, used))
                    faults.Add($"{file.Path} uses {used}");
        Assert.Empty(faults);
        Assert.Contains(Sources, f => f.Path == "src/Flint/FlintException.cs");
    }

    [Fact]
    public void The_table_of_rooms_has_no_cycle()
    {
        foreach (var table in new[] { Rooms.Engine, Rooms.App })
            foreach (var (room, uses) in table)
                foreach (string used in uses.Where(table.ContainsKey))
                    Assert.False(table[used].Contains(room), $"{room} and {used} use each other");
    }

    [Fact]
    public void Direction_check_sees_usings_aliases_and_qualified_names()
    {
        var types = new Dictionary<string, HashSet<string>> { ["Models"] = ["Model"], ["Weights"] = ["GgufFile"] };
        foreach (string body in new[]
        {
            "using Flint.Models;", "using static Flint.Models.Model;", "using M = Flint.Models.Model;", "using Models;",
            "class A { Flint.Models.Model m; }", "class A { Models.Model m; }", "class A { global::Flint.Models.Model m; }",
        })
            Assert.Contains("Models", UsedRooms(SourceFile.Of("src/Flint/Weights/A.cs", body), types));
        foreach (string body in new[] { "// using Flint.Models;", "class A { string s = \"Flint.Models.Model\"; int x = Models.Count; }" })
            Assert.Empty(UsedRooms(SourceFile.Of("src/Flint/Weights/A.cs", body), types));
        Assert.False(MayUse("src/Flint/Weights/A.cs", "Models"));
        Assert.False(MayUse("src/Flint.App/Accounts/A.cs", "Models"));
        Assert.False(MayUse("src/Flint.App/Api/A.cs", "Cli"));
        Assert.True(MayUse("src/Flint.App/Cli/Serve.cs", "Api"));
        Assert.True(MayUse("src/Flint/Models/A.cs", "Weights"));
    }

    [Fact]
    public void Files_are_short_or_listed()
    {
        var faults = new List<string>();
        foreach (SourceFile file in Sources.Concat(Tests))
        {
            int limit = Rooms.LongFiles.GetValueOrDefault(file.Path, Rooms.FileLines);
            if (file.Lines > limit) faults.Add($"{file.Path}: {file.Lines} lines, the limit is {limit}");
        }
        foreach (var (path, _) in Rooms.LongFiles)
            if (Sources.Concat(Tests).FirstOrDefault(f => f.Path == path) is not { } file || file.Lines <= Rooms.FileLines)
                faults.Add($"{path} is listed as long and is not: take it off the list");
        Assert.Empty(faults);
    }

    [Fact]
    public void Methods_are_short_or_listed()
    {
        var faults = new List<string>();
        var seen = new HashSet<string>();
        foreach (SourceFile file in Sources)
            foreach (SourceFile.Member member in file.Members().Where(m => m.Lines > Rooms.MethodLines))
            {
                string key = $"{file.Path}:{member.Name}";
                seen.Add(key);
                int limit = Rooms.LongMethods.GetValueOrDefault(key, Rooms.MethodLines);
                if (member.Lines > limit) faults.Add($"{key} (line {member.Line}): {member.Lines} lines, the limit is {limit}");
            }
        faults.AddRange(Rooms.LongMethods.Keys.Where(k => !seen.Contains(k)).Select(k => $"{k} is listed as long and is not: take it off the list"));
        Assert.Empty(faults);
    }

    [Fact]
    public void Method_lengths_are_counted_from_header_to_closing_brace()
    {
        SourceFile file = SourceFile.Of("A.cs", """""
            namespace A;
            [Serializable]
            class C<T> where T : struct
            {
                static readonly int[] Table = new int[]
                {
                    1, 2,
                };
                [Obsolete("{")]
                public int One<U>(int a = 1)
                    where U : class
                {
                    if (a > 0) { return '{'; }
                    string s = $"{a} {{ {(a > 1 ? "}" : @"""")}";
                    return 2; // }
                }
                int Two => 3 switch
                {
                    _ => 4,
                };
                struct Inner
                {
                    void Three()
                    {
                    }
                }
                public static C<T> operator +(C<T> a, C<T> b)
                {
                    return a;
                }
            }
            """"");
        Assert.Equal([("One", 9, 8), ("Two", 17, 4), ("Three", 23, 3), ("+", 27, 4)],
            file.Members().Select(m => (m.Name, m.Line, m.Lines)));
    }

    [Fact]
    public void Nothing_is_half_present()
    {
        // The words are put together here so that this file does not contain them.
        string[] words = ["TO" + "DO", "FIX" + "ME", "HA" + "CK", "NotImplemented" + "Exception"];
        var faults = new List<string>();
        foreach (SourceFile file in Sources.Concat(Tests))
        {
            foreach (string word in words)
                if (Regex.IsMatch(file.Text, $@"\b{word}\b"))
                    faults.Add($"{file.Path}: {word}");
            if (Regex.IsMatch(file.Code, @"^\s*#pragma warning disable\s*$", RegexOptions.Multiline))
                faults.Add($"{file.Path}: switches every warning off");
        }
        Assert.Empty(faults);
    }

    [Fact]
    public void A_test_skipped_by_attribute_says_why()
    {
        var faults = Tests.Where(f => SkipWithoutReason().IsMatch(f.Text) && !f.Path.EndsWith("House/HouseTests.cs", StringComparison.Ordinal))
            .Select(f => f.Path).ToList();
        Assert.Empty(faults);
        Assert.Matches(SkipWithoutReason(), "[Fact(Skip = \" \")]");
        Assert.DoesNotMatch(SkipWithoutReason(), "[Fact(Skip = \"needs two sockets\")]");
    }

    [Fact]
    public void An_interface_has_two_implementations()
    {
        var faults = new List<string>();
        foreach (SourceFile file in Sources)
            foreach (Match declared in Interface().Matches(file.Code))
            {
                string name = declared.Groups[1].Value;
                var implements = new Regex($@"\b(class|struct|record)\b[^{{;]*:[^{{;]*\b{name}\b");
                int count = Sources.Sum(f => implements.Count(f.Code));
                if (count < 2) faults.Add($"{file.Path}: {name} has {count} implementation(s)");
            }
        Assert.Empty(faults);
    }

    [Fact]
    public void The_engine_depends_on_the_base_class_library_only()
    {
        XDocument project = XDocument.Load(Path.Combine(TestData.Root, "src/Flint/Flint.csproj"));
        Assert.DoesNotContain(project.Descendants(), e => e.Name.LocalName is "PackageReference" or "ProjectReference" or "FrameworkReference");
        Assert.Equal("Microsoft.NET.Sdk", project.Root!.Attribute("Sdk")!.Value);
        Assert.Equal("true", project.Descendants("GenerateDocumentationFile").Single().Value); // with it, an undocumented public member is an error
        Assert.All(typeof(FlintException).Assembly.GetReferencedAssemblies(), a => Assert.StartsWith("System.", a.Name, StringComparison.Ordinal));
    }

    [Fact]
    public void Program_is_the_one_place_where_the_app_is_put_together()
    {
        SourceFile program = Assert.Single(App, f => f.Path == "src/Flint.App/Program.cs");
        Assert.InRange(program.Lines, 1, 100);
    }

    [Fact]
    public void Warnings_are_errors_and_nullable_is_on_everywhere()
    {
        XDocument props = XDocument.Load(Path.Combine(TestData.Root, "Directory.Build.props"));
        Assert.Equal("true", props.Descendants("TreatWarningsAsErrors").Single().Value);
        Assert.Equal("enable", props.Descendants("Nullable").Single().Value);
        foreach (string path in Directory.EnumerateFiles(Path.Combine(TestData.Root, "src"), "*.csproj", SearchOption.AllDirectories))
            Assert.DoesNotContain(XDocument.Load(path).Descendants(), e => e.Name.LocalName is "TreatWarningsAsErrors" or "Nullable" or "NoWarn");
    }

    [Theory]
    [InlineData("flint")]
    [InlineData("test.sh")]
    [InlineData(".ci/run")]
    [InlineData("models/nano/build.sh")]
    public void Scripts_can_be_run(string script)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("these are shell scripts");
            return;
        }
        string path = Path.Combine(TestData.Root, script);
        Assert.True(File.GetUnixFileMode(path).HasFlag(UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute), script);
        using Process check = Process.Start("bash", ["-n", path]);
        check.WaitForExit();
        Assert.Equal(0, check.ExitCode);
    }

    private static string? RoomOf(string path)
    {
        string[] parts = path.Split('/'); // src, project, room, ..., file
        return parts.Length > 3 ? parts[2] : null;
    }

    private static bool MayUse(string path, string used)
    {
        string? room = RoomOf(path);
        if (room is null || room == used) return true; // Program.cs and the root files put the rooms together
        bool app = path.StartsWith("src/Flint.App/", StringComparison.Ordinal);
        return (app ? Rooms.App : Rooms.Engine).TryGetValue(room, out string[]? uses)
            && (uses.Contains(used) || (Rooms.Doors.TryGetValue(path, out string? door) && door == used));
    }

    private static IEnumerable<string> UsedRooms(SourceFile file, Dictionary<string, HashSet<string>> typesOf)
    {
        string? own = RoomOf(file.Path);
        foreach (string room in Rooms.Engine.Keys.Concat(Rooms.App.Keys))
        {
            if (room == own) continue;
            bool named = Regex.IsMatch(file.Code, $@"\bFlint\.(App\.)?{room}\b")
                || Regex.IsMatch(file.Code, $@"\busing\s+(static\s+)?(\w+\s*=\s*)?(App\.)?{room}\s*[.;]")
                || Regex.Matches(file.Code, $@"(?<![\w.]){room}\.([A-Z]\w*)")
                    .Any(m => typesOf.GetValueOrDefault(room)?.Contains(m.Groups[1].Value) == true);
            if (named) yield return room;
        }
    }

    [GeneratedRegex(@"^\s*namespace\s+([\w.]+)", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex("""\bSkip\s*=\s*(null|""|"\s*")""")]
    private static partial Regex SkipWithoutReason();

    [GeneratedRegex(@"\binterface\s+(I[A-Z]\w*)")]
    private static partial Regex Interface();
}
