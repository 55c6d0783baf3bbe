using System.CommandLine;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint orgs</c>: the organisations that own projects.</summary>
internal static class Orgs
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("orgs", "Create, list and limit organisations; their projects own the keys.")
    {
        DataOption.Address,
        CreateCreate(),
        CreateList(),
        LimitOptions.CreateCommand(
            new Argument<string>("ORGANISATION") { Description = "Its name." }, "Set what an organisation may use at most, all its projects together.",
            static (store, name) => new Owner(OwnerKind.Organization, Open(store).Find(name).Id)),
    };

    private static Command CreateCreate()
    {
        var name = new Argument<string>("NAME") { Description = "What to call it." };
        Option<string?> data = DataOption.Create();
        var command = new Command("create", "Make an organisation.") { name, data };
        command.SetAction(parsed =>
        {
            Organization made = Open(DataOption.Open(parsed, data)).Create(parsed.GetValue(name)!);
            Console.Out.WriteLine($"Organisation '{made.Name}' made. Its first project: flint projects create NAME --org {made.Name}");
            return 0;
        });
        return command;
    }

    private static Command CreateList()
    {
        Option<string?> data = DataOption.Create();
        var command = new Command("list", "List organisations: name, when made, how many projects.") { data };
        command.SetAction(parsed =>
        {
            Organizations organizations = Open(DataOption.Open(parsed, data));
            IReadOnlyList<Project> projects = organizations.ListProjects();
            TextTable.Write(Console.Out, ["NAME", "CREATED", "PROJECTS"],
                organizations.List().Select(o => new[] { o.Name, TextTable.Time(o.Created), $"{projects.Count(p => p.OrganizationId == o.Id)}" }));
            return 0;
        });
        return command;
    }

    private static Organizations Open(Store store) => new(store, TimeProvider.System);
}
