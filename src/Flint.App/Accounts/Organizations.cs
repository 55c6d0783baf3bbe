using System.Data.Common;
using Dapper;

namespace Flint.App.Accounts;

/// <summary>An organisation: the owner of projects.</summary>
public sealed record Organization
{
    /// <summary>Its number.</summary>
    public long Id { get; init; }

    /// <summary>Its name, unique.</summary>
    public string Name { get; init; } = "";

    /// <summary>When it was made, Unix milliseconds.</summary>
    public long Created { get; init; }
}

/// <summary>A project of an organisation: the owner of keys.</summary>
public sealed record Project
{
    /// <summary>Its number.</summary>
    public long Id { get; init; }

    /// <summary>Its name, unique in its organisation.</summary>
    public string Name { get; init; } = "";

    /// <summary>When it was made, Unix milliseconds.</summary>
    public long Created { get; init; }

    /// <summary>The organisation's number.</summary>
    public long OrganizationId { get; init; }

    /// <summary>The organisation's name.</summary>
    public string Organization { get; init; } = "";

    /// <summary><c>ORGANISATION/PROJECT</c>.</summary>
    public string Path => $"{Organization}/{Name}";
}

/// <summary>Organisations and their projects. One of each, named <c>default</c>, is there from the beginning.</summary>
public sealed class Organizations(Store store, TimeProvider time)
{
    /// <summary>The name of those that are there from the beginning.</summary>
    public const string Default = "default";

    /// <summary>Longest name, in characters.</summary>
    public const int MaxNameLength = 100;

    private const string ProjectColumns = """
        SELECT p.id AS Id, p.name AS Name, p.created AS Created, o.id AS OrganizationId, o.name AS Organization
        FROM projects p JOIN organizations o ON o.id = p.organization_id
        """;

    /// <summary>Makes an organisation.</summary>
    /// <exception cref="FlintException">Caller: the name is empty, too long, or taken.</exception>
    public Organization Create(string name)
    {
        name = Named(name);
        long created = time.GetUtcNow().ToUnixTimeMilliseconds();
        using DbConnection connection = store.Open();
        long id = Insert(connection, "INSERT INTO organizations (name, created) VALUES (@name, @created) RETURNING id", new { name, created }, $"An organisation named '{name}'");
        return new Organization { Id = id, Name = name, Created = created };
    }

    /// <summary>Makes a project.</summary>
    /// <param name="organization">The organisation's name.</param>
    /// <param name="name">The project's.</param>
    /// <exception cref="FlintException">Caller: no such organisation, or the name is empty, too long, or taken.</exception>
    public Project CreateProject(string organization, string name)
    {
        name = Named(name);
        Organization owner = Find(organization);
        long created = time.GetUtcNow().ToUnixTimeMilliseconds();
        using DbConnection connection = store.Open();
        long id = Insert(
            connection, "INSERT INTO projects (organization_id, name, created) VALUES (@Id, @name, @created) RETURNING id",
            new { owner.Id, name, created }, $"A project named '{name}' of the organisation '{owner.Name}'");
        return new Project { Id = id, Name = name, Created = created, OrganizationId = owner.Id, Organization = owner.Name };
    }

    /// <summary>All organisations, oldest first.</summary>
    public IReadOnlyList<Organization> List()
    {
        using DbConnection connection = store.Open();
        return [.. connection.Query<Organization>("SELECT id AS Id, name AS Name, created AS Created FROM organizations ORDER BY id")];
    }

    /// <summary>All projects, oldest first.</summary>
    public IReadOnlyList<Project> ListProjects()
    {
        using DbConnection connection = store.Open();
        return [.. connection.Query<Project>(ProjectColumns + " ORDER BY p.id")];
    }

    /// <summary>The organisation of a name.</summary>
    /// <exception cref="FlintException">Caller: there is none.</exception>
    public Organization Find(string name) => List().FirstOrDefault(o => o.Name == name)
        ?? throw FlintException.Caller("organization_not_found", $"No organisation is named '{name}'; see flint orgs list.");

    /// <summary>The project of a name.</summary>
    /// <param name="name"><c>PROJECT</c>, or <c>ORGANISATION/PROJECT</c> where several have one of that name.</param>
    /// <exception cref="FlintException">Caller: there is none, or more than one.</exception>
    public Project FindProject(string name)
    {
        Project[] found = [.. ListProjects().Where(p => p.Name == name || p.Path == name)];
        return found.Length switch
        {
            1 => found[0],
            0 => throw FlintException.Caller("project_not_found", $"No project is named '{name}'; see flint projects list."),
            _ => throw FlintException.Caller("project_ambiguous", $"Several projects are named '{name}': name one of {string.Join(", ", found.Select(p => p.Path))}."),
        };
    }

    private long Insert(DbConnection connection, string sql, object values, string what)
    {
        try
        {
            return connection.ExecuteScalar<long>(sql, values);
        }
        catch (DbException error) when (store.Database.IsConflict(error))
        {
            throw FlintException.Caller("name_taken", $"{what} exists already; choose another name.");
        }
    }

    // A slash parts an organisation's name from a project's.
    private static string Named(string name)
    {
        name = name.Trim();
        return name.Length is > 0 and <= MaxNameLength && !name.Any(c => char.IsControl(c) || c == '/')
            ? name
            : throw FlintException.Caller("invalid_name", $"A name has 1 to {MaxNameLength} printable characters, none of them a slash.");
    }
}
