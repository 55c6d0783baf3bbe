using System.CommandLine;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint projects</c>: the projects that own keys.</summary>
internal static class Projects
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("projects", "Create, list and limit projects; they own the keys.")
    {
        DataOption.Address,
        CreateCreate(),
        CreateList(),
        LimitOptions.CreateCommand(
            new Argument<string>("PROJECT") { Description = "Its name, or ORGANISATION/PROJECT." }, "Set what a project may use at most, all its keys together.",
            static (store, name) => new Owner(OwnerKind.Project, Open(store).FindProject(name).Id)),
    };

    private static Command CreateCreate()
    {
        var name = new Argument<string>("NAME") { Description = "What to call it." };
        var organization = new Option<string>("--org") { HelpName = "ORGANISATION", DefaultValueFactory = _ => Organizations.Default, Description = "Its organisation." };
        Option<string?> data = DataOption.Create();
        var command = new Command("create", "Make a project.") { name, organization, data };
        command.SetAction(parsed =>
        {
            Project made = Open(DataOption.Open(parsed, data)).CreateProject(parsed.GetValue(organization)!, parsed.GetValue(name)!);
            Console.Out.WriteLine($"Project '{made.Path}' made. Its first key: flint keys create --project {made.Path} --name NAME");
            return 0;
        });
        return command;
    }

    private static Command CreateList()
    {
        Option<string?> data = DataOption.Create();
        var command = new Command("list", "List projects: organisation, name, when made, how many keys that are not revoked.") { data };
        command.SetAction(parsed =>
        {
            Store store = DataOption.Open(parsed, data);
            IReadOnlyList<Key> keys = new Accounts.Keys(store, TimeProvider.System).List();
            TextTable.Write(Console.Out, ["ORGANISATION", "NAME", "CREATED", "KEYS"],
                Open(store).ListProjects().Select(p => new[] { p.Organization, p.Name, TextTable.Time(p.Created), $"{keys.Count(k => k.ProjectId == p.Id && k.Revoked is null)}" }));
            return 0;
        });
        return command;
    }

    private static Organizations Open(Store store) => new(store, TimeProvider.System);
}
